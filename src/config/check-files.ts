import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ProblemList } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import type { Problem } from './problems.ts';
import { isExposedMode, readCreds, readSecretFile, readUserJwt } from './secret-files.ts';

/** START-05, START-06 and START-12: the files that settings name, and what stands in the environment in place of one; START-01 for what they hold. */
export function checkFiles(context: CheckContext): Problem[] {
  const problems = new ProblemList(context.sourceOf);
  const { config } = context;
  for (const name of ['ctl', 'rpc'] as const) {
    const { credsFile, jwtFile, seedFile, tls } = config[name];
    secretFile(context, problems, `${name}.credsFile`, credsFile, (text) => credsFault(context, text));
    secretFile(context, problems, `${name}.seedFile`, seedFile, (text) => seedFault(context, text, 'user'));
    if (jwtFile !== undefined) plainFile(problems, `${name}.jwtFile`, jwtFile, (text) => jwtFault(context, text.trim())?.summary);
    inlineLogin(context, problems, name);
    bearerLogin(problems, name, credsFile ?? jwtFile, config[name].jwt);
    secretFile(context, problems, `${name}.tls.keyFile`, tls?.keyFile, (text) =>
      text.includes('PRIVATE KEY-----')
        ? undefined
        : { summary: 'holds no private key in PEM form', fix: 'Give the key of the client certificate.' },
    );
    certificate(context, problems, `${name}.tls.caFile`, tls?.caFile);
    certificate(context, problems, `${name}.tls.certFile`, tls?.certFile);
  }
  secretFile(context, problems, 'hostSeedFile', config.hostSeedFile, (text) => seedFault(context, text, 'server'));
  secretFile(context, problems, 'trust.clusterSeedFile', config.trust.clusterSeedFile, (text) => {
    const seeds = text.trim().split(/\s*\n\s*/);
    return seeds.map((seed) => seedFault(context, seed, 'cluster')).find((fault) => fault !== undefined);
  });
  checkDelegationFile(config.trust.delegationFile, problems);
  secretFile(context, problems, 'trust.wasmbus.seedFile', config.trust.wasmbus.seedFile, (text) =>
    seedFault(context, text, 'cluster'),
  );
  return problems.found;
}

/** START-06: a JWT and a seed from the environment. */
function inlineLogin(context: CheckContext, problems: ProblemList, name: 'ctl' | 'rpc'): void {
  const { jwt, seed } = context.config[name];
  const add = (setting: string, fault: Fault): void =>
    problems.add('START-06', setting, {
      summary: `The text of ${setting} ${fault.summary}.`,
      why: 'The server would refuse it, over and over.',
      fix: fault.fix,
    });
  const seedFaultFound = seed === undefined ? undefined : seedFault(context, seed, 'user');
  if (seedFaultFound !== undefined) add(`${name}.seed`, seedFaultFound);
  const jwtFaultFound = jwt === undefined ? undefined : jwtFault(context, jwt.trim());
  if (jwtFaultFound !== undefined) add(`${name}.jwt`, jwtFaultFound);
}

/** START-01: a JWT that proves nothing but that somebody has it. */
function bearerLogin(problems: ProblemList, name: 'ctl' | 'rpc', file: string | undefined, inline: string | undefined): void {
  const read = file === undefined ? undefined : readSecretFile(file);
  const text = read?.ok === true ? read.text : (inline ?? '');
  const claims = readUserJwt(readCreds(text).jwt ?? text.trim());
  if (claims?.bearer !== true) return;
  problems.add('START-01', file === undefined ? `${name}.jwt` : `${name}.credsFile`, {
    summary: `The JWT of the ${name} user is a bearer token: the server asks for no proof of the seed.`,
    ...(file === undefined ? {} : { value: file }),
    why: 'Whoever reads the JWT once, in a log or on the way, can log in with it.',
    fix: 'Ask who runs the lattice for credentials of a user that is no bearer.',
  });
}

function checkDelegationFile(path: string | undefined, problems: ProblemList): void {
  const file = path === undefined ? undefined : readSecretFile(path);
  if (path === undefined || file === undefined) return;
  const fault = !file.ok ? file.reason : file.text.startsWith('dlg2s.') ? undefined : 'holds no delegation';
  if (fault === undefined) return;
  problems.add('START-06', 'trust.delegationFile', {
    summary: `The file of trust.delegationFile ${fault}.`,
    value: path,
    why: 'Without a delegation nobody believes what this host signs.',
    fix: 'Mint one for the key in hostSeedFile: trellis keys delegate.',
  });
}

interface Fault {
  readonly summary: string;
  readonly fix: string;
}

/** Why a file that holds a secret has to be there, and to be nobody else's. */
interface Reasons {
  readonly missing: string;
  readonly exposed: string;
}

const OF_THE_HOST: Reasons = {
  missing: 'Without it the host cannot prove who it is.',
  exposed: 'Whoever reads this file can join the lattice as this host.',
};

/** START-05 and START-06 for one file that holds a secret. */
export function secretFile(
  { process: facts }: CheckContext,
  problems: ProblemList,
  setting: string,
  path: string | undefined,
  faultOf: (text: string) => Fault | undefined,
  reasons: Reasons = OF_THE_HOST,
): void {
  if (path === undefined) return;
  const file = readSecretFile(path);
  if (!file.ok) {
    problems.add('START-06', setting, {
      summary: `The file of ${setting} ${file.reason}.`,
      value: path,
      why: reasons.missing,
      fix: 'Correct the path, or give this user access to the file.',
    });
    return;
  }
  if (facts.uid !== undefined) {
    if (isExposedMode(file.mode, file.uid)) {
      problems.add('START-05', setting, {
        summary: `Other users here can read the file of ${setting}.`,
        value: `${path}   (mode 0${file.mode.toString(8)}, expected 0600)`,
        why: reasons.exposed,
        fix: `chmod 600 ${path}`,
      });
    } else if (file.uid !== facts.uid && file.uid !== 0) {
      problems.add('START-05', setting, {
        summary: `The file of ${setting} belongs to another user.`,
        value: path,
        why: 'Its owner can read it and put another one in its place.',
        fix: `chown ${facts.uid} ${path}`,
      });
    }
  }
  const fault = faultOf(file.text);
  if (fault === undefined) return;
  problems.add('START-06', setting, {
    summary: `The file of ${setting} ${fault.summary}.`,
    value: path,
    why: 'The server or the other hosts would refuse it, over and over.',
    fix: fault.fix,
  });
}

function plainFile(problems: ProblemList, setting: string, path: string, faultOf: (text: string) => string | undefined): void {
  const file = readSecretFile(path);
  const fault = file.ok ? faultOf(file.text) : file.reason;
  if (fault === undefined) return;
  problems.add('START-06', setting, {
    summary: `The file of ${setting} ${fault}.`,
    value: path,
    why: 'The server would refuse the login.',
    fix: 'Ask who runs the lattice for a new one.',
  });
}

function credsFault(context: CheckContext, text: string): Fault | undefined {
  const { jwt, seed } = readCreds(text);
  const fix = 'Ask who runs the lattice for a new creds file of this user.';
  if (
    jwt === undefined &&
    seed === undefined &&
    /["']?(?:user|username|pass|password|token)["']?\s*[:=]|^\w+:\/\/[^\s/]*@/im.test(text)
  ) {
    return { summary: 'holds a login by user and password, or by token, which Trellis does not use', fix };
  }
  if (jwt === undefined || seed === undefined) {
    return { summary: `is no creds file: its ${jwt === undefined ? 'JWT' : 'seed'} block is missing`, fix };
  }
  const bad = jwtFault(context, jwt);
  if (bad !== undefined) return bad;
  const key = context.keys.ofSeed(seed);
  if (key === undefined) return { summary: 'holds a malformed seed', fix };
  if (key.kind !== 'user') return { summary: `holds a seed of kind ${key.kind}, not user`, fix };
  if (key.publicKey !== readUserJwt(jwt)?.subject) return { summary: 'holds a JWT and a seed of two different users', fix };
  return undefined;
}

function jwtFault({ process: facts }: CheckContext, jwt: string): Fault | undefined {
  const fix = 'Ask who runs the lattice for a new one.';
  const claims = readUserJwt(jwt);
  if (claims === undefined) return { summary: 'holds a malformed JWT', fix };
  if (!claims.subject.startsWith('U')) return { summary: 'holds a JWT that is not of a user', fix };
  if (claims.expiresMs !== undefined && claims.expiresMs <= facts.nowMs) {
    return { summary: `expired on ${new Date(claims.expiresMs).toISOString()}`, fix };
  }
  return undefined;
}

function seedFault({ keys }: CheckContext, text: string, kind: 'user' | 'server' | 'cluster'): Fault | undefined {
  const letter = { user: 'SU', server: 'SN', cluster: 'SC' }[kind];
  const fix = kind === 'user' ? 'Give the seed (SU…) of the user.' : `Make one with: trellis keys gen ${kind} --out <file>`;
  const found = keys.ofSeed(text.trim());
  if (found === undefined) {
    const swapped = !('reason' in keys.ofPublicKey(text.trim()));
    return { summary: swapped ? 'holds a public key, not a seed' : `holds no well-formed seed (${letter}…)`, fix };
  }
  return found.kind === kind ? undefined : { summary: `holds a seed of kind ${found.kind}, not ${kind} (${letter}…)`, fix };
}

/** START-12 for one file with certificates. */
export function certificate(
  { process: facts }: CheckContext,
  problems: ProblemList,
  setting: string,
  path: string | undefined,
): void {
  if (path === undefined) return;
  const fault = certificateFault(path, facts.nowMs);
  if (fault === undefined) return;
  problems.add('START-12', setting, {
    summary: `The file of ${setting} ${fault}.`,
    value: path,
    why: 'The TLS handshake would fail at every attempt.',
    fix: 'Give a PEM file with a certificate that is valid now.',
  });
}

function certificateFault(path: string, nowMs: number): string | undefined {
  const file = readSecretFileOfAnySize(path);
  if (typeof file !== 'string') return file.reason;
  const blocks = file.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (blocks === null) return 'holds no certificate in PEM form';
  let usable = 0;
  let fault: string | undefined;
  for (const block of blocks.slice(0, 1_000)) {
    try {
      const { validFromDate, validToDate } = new X509Certificate(block);
      if (validToDate.getTime() <= nowMs) fault ??= `holds a certificate that expired on ${validToDate.toISOString()}`;
      else if (validFromDate.getTime() > nowMs)
        fault ??= `holds a certificate that is valid only from ${validFromDate.toISOString()}`;
      else usable += 1;
    } catch {
      fault ??= 'holds a malformed certificate';
    }
  }
  // A bundle of authorities may well hold old ones beside those in use.
  return usable > 0 ? undefined : fault;
}

function readSecretFileOfAnySize(path: string): string | { readonly reason: string } {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return { reason: code === 'ENOENT' ? 'does not exist' : `cannot be read (${String(code)})` };
  }
}
