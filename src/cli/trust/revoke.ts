import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { askToRenew } from '../../control/trust-report.ts';
import { TrellisError } from '../../errors.ts';
import { isDigest } from '../../trust/claim-values.ts';
import { type KeyKind, publicKeyKind, type SigningKey } from '../../trust/nkey.ts';
import { signRevocation } from '../../trust/revocation.ts';
import { examples, outputOf } from '../program.ts';
import { hostRows, hostTable } from './issuers.ts';
import { wholeNumber } from './whole-number.ts';
import { type LogLevel, readSeedFile, TrustView } from './view.ts';

interface RevokeFlags {
  readonly seedFile: string;
  readonly now?: true;
  readonly untilNow?: true;
  readonly config?: string;
  readonly timeoutMs: string;
  readonly logLevel: LogLevel;
}

/** Kinds of what a revocation may name. */
const REVOCABLE: readonly (KeyKind | 'delegation')[] = ['delegation', 'cluster', 'server', 'service', 'user'];

/** `trellis keys revoke`: what a stolen key could do ends now. */
export function registerRevoke(keys: Command): void {
  keys
    .command('revoke')
    .description(
      'End what a key may do, at once and on every host: a cluster key (C…) together with all delegations minted so far, a host or ' +
        'provider key (N…, V…), an operator key (U…), or one delegation by its thumbprint.',
    )
    .argument('<key>', 'public key or thumbprint')
    .requiredOption('--seed-file <file>', 'seed of a cluster key that remains')
    .option('--now', 'do it; without this flag it is only said what would happen')
    .option('--until-now', 'only what was delegated to the key so far, so that it may be given a new delegation')
    .option('--config <file>', 'configuration with servers, ctl credentials and cluster issuers')
    .option('--timeout-ms <number>', 'how long hosts may take to report that they know', '10000')
    .option('--log-level <level>', 'least level that is logged', 'error')
    .addHelpText(
      'after',
      examples(
        '# a cluster seed was stolen',
        'trellis keys revoke CAQQ… --now --seed-file second.seed',
        '# a host was broken into',
        'trellis keys revoke NB4X… --now --seed-file cluster.seed',
      ),
    )
    .action(async (key: string, flags: RevokeFlags, command: Command) => {
      const kind = isDigest(key) ? 'delegation' : publicKeyKind(key);
      if (kind === undefined || !REVOCABLE.includes(kind)) {
        throw new TrellisError('TRELLIS_USAGE', {
          message: 'What is revoked is a public key (C…, N…, V… or U…) or the thumbprint of a delegation (43 characters)',
        });
      }
      const signer = readSeedFile(flags.seedFile, 'cluster');
      const timeoutMs = wholeNumber('--timeout-ms', flags.timeoutMs);
      await using view = await TrustView.open(flags.config, flags.logLevel, 'trellis keys revoke');
      checkSigner(view, signer, key);
      const output = outputOf(command);
      if (flags.now !== true) {
        const what =
          kind === 'cluster'
            ? `epoch ${view.state.epoch + 1} without this issuer; every delegation minted before it ends, and hosts renew theirs`
            : 'a revocation of this key; hosts refuse it at once';
        output.result({ lattice: view.lattice, done: false, key, kind, what }, (print) => {
          print(`Nothing was done. With --now: ${what}.`);
        });
        return;
      }
      if (kind === 'cluster') await revokeIssuer(view, signer, key);
      else await revokeSubject(view, signer, key, flags.untilNow === true);
      const { hosts, late } = await waitForHosts(view, kind === 'cluster' ? key : undefined, timeoutMs);
      const { epoch, issuers, active } = view.state;
      output.result({ lattice: view.lattice, done: true, key, kind, epoch, active, issuers, hosts, late }, (print) => {
        print(`Revoked ${key} (epoch ${epoch}).\n`);
        for (const line of hostTable(hosts)) print(line);
        if (late.length > 0) print(`\nThese have not reported that they know: ${late.join(', ')}`);
        if (kind === 'cluster') print('\nTake this key out of trust.clusterIssuers of every configuration as well.');
      });
      if (late.length > 0) process.exitCode = new TrellisError('TRELLIS_ROTATION_WAITING').exitCode;
    });
}

function checkSigner(view: TrustView, signer: SigningKey, key: string): void {
  const { issuers } = view.state;
  const fault = !issuers.includes(signer.publicKey)
    ? `${signer.publicKey} is not an issuer of lattice ${view.lattice}`
    : key === signer.publicKey
      ? 'a key cannot revoke itself: give the seed of an issuer that remains'
      : key.startsWith('C') && !isDigest(key) && !issuers.includes(key)
        ? `${key} is not an issuer of lattice ${view.lattice}`
        : undefined;
  if (fault !== undefined) throw new TrellisError('TRELLIS_ROTATION_STATE', { message: fault });
}

/** The next epoch is the least that counts: what the stolen key delegated ends, whatever date it gave it. */
async function revokeIssuer(view: TrustView, signer: SigningKey, key: string): Promise<void> {
  const { state } = view;
  const issuers = state.issuers.filter((issuer) => issuer !== key);
  await view.publish(signer, { issuers, active: signer.publicKey, minEpoch: state.epoch + 1 });
  askToRenew(view.ctl, view.lattice);
}

async function revokeSubject(view: TrustView, signer: SigningKey, key: string, isUntilNow: boolean): Promise<void> {
  const iat = Date.now();
  const frm = isUntilNow ? iat : Number.MAX_SAFE_INTEGER;
  const text = signRevocation(signer, { v: 2, iat, lat: view.lattice, iss: signer.publicKey, sub: key, frm });
  const verdict = view.state.takeRevocation(text);
  if (typeof verdict !== 'string') {
    throw new TrellisError('TRELLIS_ROTATION_STATE', { message: `the revocation would be refused: ${verdict.detail}` });
  }
  if (verdict === 'taken') await view.bucket.put(`revoked.${key}`, text);
}

/** Looks until no host reports the issuer any more. Revocations of other keys are not reported; hosts are listed once. */
async function waitForHosts(
  view: TrustView,
  issuer: string | undefined,
  timeoutMs: number,
): Promise<{ hosts: ReturnType<typeof hostRows>; late: readonly string[] }> {
  for (const startMs = performance.now(); ; await sleep(200)) {
    const trust = await view.look();
    const late = trust.reports.filter(({ issuers }) => issuer !== undefined && issuers.includes(issuer)).map(({ host }) => host);
    if (late.length === 0 || performance.now() - startMs > timeoutMs) return { hosts: hostRows(trust), late };
  }
}
