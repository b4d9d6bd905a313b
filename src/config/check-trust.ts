import { ProblemList, remoteServers } from './check-context.ts';
import type { CheckContext, KeyFacts } from './check-context.ts';
import { showValue } from './problems.ts';
import type { HostConfig } from './schema.ts';
import type { Problem } from './problems.ts';
import { readSecretFile } from './secret-files.ts';

/** START-08 to START-11: whom this host would believe, and with which key it signs. */
export function checkTrust(context: CheckContext): Problem[] {
  const problems = new ProblemList(context.sourceOf);
  const { config, keys } = context;
  const { trust } = config;
  const remote = remoteServers(config);

  checkVerify(context, problems, remote);
  if (trust.clusterSeed !== undefined && trust.clusterSeedFile !== undefined) {
    problems.add('START-14', 'trust.clusterSeed', {
      summary: 'trust.clusterSeed and trust.clusterSeedFile exclude each other.',
      why: 'Only one key can sign.',
      fix: 'Unset the environment variable and keep the file.',
    });
  }
  checkDelegation(context, problems);
  checkIssuerService(context, problems);
  if (trust.clusterSeed !== undefined && !config.dev) {
    problems.add('START-11', 'trust.clusterSeed', {
      summary: 'The cluster seed stands in the environment.',
      why: 'It stays readable in /proc and in crash reports for as long as the host runs.',
      fix: 'Write it to a file (mode 0600) and set trust.clusterSeedFile (WASMCLOUD_CLUSTER_SEED_FILE).',
    });
  }
  checkUnsigned(context, problems);
  const own = ownKeys(context, problems);
  let valid = 0;
  for (const [i, issuer] of trust.clusterIssuers.entries()) {
    const fault = issuerFault(keys, issuer);
    if (fault === undefined) valid += 1;
    else problems.add('START-09', `trust.clusterIssuers[${i}]`, fault);
  }
  const isOwn = own.some((key) => trust.clusterIssuers.includes(key));
  if (own.length > 0 && valid > 0 && valid === trust.clusterIssuers.length && !isOwn) {
    problems.add('START-09', 'trust.clusterIssuers', {
      summary: "The public key of this host's cluster seed is not among the cluster issuers.",
      why: 'This host would refuse its own invocations, and so would hosts with the same list.',
      fix: `Add ${own.join(' or ')} to trust.clusterIssuers, or use the seed of a listed issuer.`,
    });
  }
  const hasSeed = trust.clusterSeed !== undefined || trust.clusterSeedFile !== undefined;
  const hasSource = hasSeed || trust.delegationFile !== undefined || trust.issuerService;
  if (!hasSource && remote.length > 0) {
    problems.add('START-10', 'trust.clusterSeedFile', {
      summary: 'This host would sign with an ad hoc key on a lattice beyond this computer.',
      why: `No other host believes that key, and with it this one would believe none (server ${showValue(remote[0])}).`,
      fix: 'Set trust.clusterSeedFile (make one with: trellis keys gen cluster --out <file>).',
    });
  }
  if (config.control.mode === 'signed' && !hasSource && trust.clusterIssuers.length === 0) {
    problems.add('START-14', 'control.mode', {
      summary: 'Nobody could sign commands for this host.',
      why: 'Without cluster issuers it believes only the key that it makes for this run, and nobody else has that key.',
      fix: 'Set trust.clusterIssuers or trust.clusterSeedFile, or leave control.mode open.',
    });
  }
  return problems.found;
}

/** What is wrong with the public key of a cluster issuer, for a problem's text; `undefined` if nothing is. Never tells the value. */
export function issuerFault(
  keys: KeyFacts,
  issuer: string,
): { readonly summary: string; readonly why: string; readonly fix: string } | undefined {
  const fact = keys.ofPublicKey(issuer);
  if (!('reason' in fact) && fact.kind === 'cluster') return undefined;
  // Never the value: a seed put here by mistake is a seed.
  if (keys.ofSeed(issuer) !== undefined) {
    return {
      summary: 'A cluster issuer is a seed, not a public key.',
      why: 'Issuers are shown and logged; a seed must not be.',
      fix: 'Replace it by its public key (C…) and make a new seed: this one has been exposed.',
    };
  }
  return {
    summary:
      'reason' in fact ? `A cluster issuer ${fact.reason}.` : `A cluster issuer is a key of kind ${fact.kind}, not cluster.`,
    why: 'A key that nobody can sign with would refuse everybody.',
    fix: 'Give the public key (C…) that `trellis keys gen cluster` printed.',
  };
}

/** START-14: a delegation minted elsewhere says whose key signs; the rest of it must be configured too. */
function checkDelegation({ config: { trust, hostSeedFile } }: CheckContext, problems: ProblemList): void {
  if (trust.delegationFile === undefined) return;
  const faults = [
    [
      trust.clusterSeed !== undefined || trust.clusterSeedFile !== undefined,
      'excludes a cluster seed',
      'Unset the seed: a host with a delegation needs none.',
    ],
    [hostSeedFile === undefined, 'needs hostSeedFile', 'Give the seed (SN…) of the key that the delegation is for.'],
    [trust.clusterIssuers.length === 0, 'needs trust.clusterIssuers', 'List the public keys (C…) that count in this lattice.'],
  ] as const;
  for (const [wrong, what, fix] of faults) {
    if (!wrong) continue;
    problems.add('START-14', 'trust.delegationFile', {
      summary: `trust.delegationFile ${what}.`,
      why: 'The host could not sign, or would believe nobody.',
      fix,
    });
  }
}

/** START-14: who asks the issuer service holds no key of its own to believe. */
function checkIssuerService({ config: { trust } }: CheckContext, problems: ProblemList): void {
  if (!trust.issuerService) return;
  const others = trust.clusterSeed ?? trust.clusterSeedFile ?? trust.delegationFile;
  if (others !== undefined) {
    problems.add('START-14', 'trust.issuerService', {
      summary: 'trust.issuerService excludes a cluster seed and a delegation file.',
      why: 'A host has one source of delegations.',
      fix: 'Unset the seed or the file; the issuer service signs instead.',
    });
  }
  if (trust.clusterIssuers.length === 0) {
    problems.add('START-14', 'trust.issuerService', {
      summary: 'trust.issuerService needs trust.clusterIssuers.',
      why: 'Without a seed of its own the host would believe nobody, the issuer service included.',
      fix: 'List the public keys (C…) that count in this lattice.',
    });
  }
}

/** START-14: pairs that may stay unsigned although they sign, or that nothing would come of. */
function checkUnsigned({ config }: CheckContext, problems: ProblemList): void {
  for (const [i, { source, target, interface: wit }] of config.trust.unsigned.entries()) {
    const setting = `trust.unsigned[${i}]`;
    if (config.components.some(({ id }) => id === source) && config.components.some(({ id }) => id === target)) {
      problems.add('START-14', setting, {
        summary: 'A pair that may stay unsigned runs on this host, which signs for both.',
        value: `${source} → ${target}`,
        why: 'The entry would only let strangers call as that component.',
        fix: 'Remove the entry.',
      });
    } else if (!config.links.some((link) => link.source === source && link.target === target && names(link, wit))) {
      problems.add('START-14', setting, {
        warning: true,
        summary: 'No link of this configuration names a pair that may stay unsigned.',
        value: `${source} → ${target} ${wit}`,
        why: 'Without a link, here or on the lattice, it is refused all the same.',
        fix: 'Add the link here or on the lattice (trellis link put), or remove the entry.',
      });
    }
  }
}

function names(link: HostConfig['links'][number], wit: string): boolean {
  return link.interfaces.some((name) => `${link.namespace}:${link.package}/${name}` === wit);
}

function checkVerify({ config }: CheckContext, problems: ProblemList, remote: readonly string[]): void {
  const { verify } = config.trust;
  if (verify === 'enforce') return;
  if (verify === 'off' && remote.length > 0) {
    problems.add('START-08', 'trust.verify', {
      summary: 'Verification is switched off on a lattice beyond this computer.',
      value: verify,
      why: 'Anybody with a login could invoke anything as anybody.',
      fix: 'Set trust.verify to enforce, or to observe while a lattice migrates.',
    });
  } else if (!config.dev) {
    problems.add('START-08', 'trust.verify', {
      warning: true,
      summary: verify === 'off' ? 'Verification is switched off.' : 'Unsigned invocations run and are only logged.',
      value: verify,
      why: 'What is not verified may come from anybody with a login.',
      fix: 'Set trust.verify to enforce.',
    });
  }
}

/** The public keys of the configured cluster seeds; reports a malformed one in the environment (files are checked elsewhere). */
function ownKeys({ config, keys }: CheckContext, problems: ProblemList): readonly string[] {
  const { clusterSeed, clusterSeedFile } = config.trust;
  if (clusterSeed !== undefined) {
    const fact = keys.ofSeed(clusterSeed);
    if (fact?.kind === 'cluster') return [fact.publicKey];
    const isPublic = !('reason' in keys.ofPublicKey(clusterSeed));
    problems.add('START-09', 'trust.clusterSeed', {
      summary: isPublic
        ? 'The cluster seed is a public key.'
        : fact === undefined
          ? 'The cluster seed is malformed.'
          : `The cluster seed is a seed of kind ${fact.kind}, not cluster.`,
      why: 'Nothing can be signed with it.',
      fix: 'Give the seed (SC…); `trellis keys gen cluster --out <file>` makes one.',
    });
    return [];
  }
  const file = clusterSeedFile === undefined ? undefined : readSecretFile(clusterSeedFile);
  const seeds = file?.ok === true ? file.text.trim().split(/\s*\n\s*/) : [];
  return seeds.flatMap((seed) => {
    const fact = keys.ofSeed(seed);
    return fact?.kind === 'cluster' ? [fact.publicKey] : [];
  });
}
