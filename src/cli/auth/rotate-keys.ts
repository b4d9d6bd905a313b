import { accountsOf } from '../../auth/find-users.ts';
import { pushAccounts, type PushRow } from '../../auth/push.ts';
import type { RenewedUser } from '../../auth/renew.ts';
import {
  addKeys,
  addOperatorKey,
  dropKeys,
  dropOperatorKey,
  type KeyReplacement,
  moveUsers,
  operatorReplacement,
  replacementsIn,
  resignAccounts,
} from '../../auth/rotate-keys.ts';
import { holdersOf, moveActivations } from '../../auth/activations.ts';
import { operatorKeys } from '../../auth/account-faults.ts';
import { readNatsJwt } from '../../auth/nats-jwt.ts';
import type { AuthStore } from '../../auth/store.ts';
import { EXIT, TrellisError } from '../../errors.ts';
import { SystemConnection } from '../../nats/system-connection.ts';
import { fieldLines, type Output } from '../output.ts';
import { allWell, pushChanged, pushLines } from './push.ts';
import { renewedLines } from './renewed-lines.ts';
import { type ServerFlags, systemLogin } from './server-option.ts';
import type { StoreFlags } from './store-option.ts';

/** Flags by which keys that sign are replaced. */
export interface KeyFlags extends StoreFlags, ServerFlags {
  readonly tenant?: string;
  readonly account?: string;
  readonly role?: string;
  readonly allKeys?: true;
  readonly finish?: true;
  readonly force?: true;
}

/** What a step came to. */
type Step = 'added' | 'moved' | 'finished';

/** Takes the next step of replacing signing keys of accounts. @throws TRELLIS_USAGE, TRELLIS_AUTH_ROTATION, what a push throws */
export async function rotateAccountKeys(store: AuthStore, flags: KeyFlags, output: Output): Promise<void> {
  const { tenant, account, role } = flags;
  if ((tenant === undefined) === (account === undefined)) {
    throw new TrellisError('TRELLIS_USAGE', { message: 'Whose keys? Add --tenant NAME or --account NAME' });
  }
  const accounts = accountsOf(store, { tenant, account }).filter((name) => role === undefined || hasRole(store, name, role));
  if (accounts.length === 0)
    throw new TrellisError('TRELLIS_AUTH_UNKNOWN', { message: `No account of it has a role ${String(role)}` });
  const replacements = new Map<string, readonly KeyReplacement[]>();
  const under = accounts.flatMap((name) =>
    replacementsIn(store, name).filter((each) => role === undefined || each.role === role),
  );
  if (flags.finish === true) return await finish(store, flags, output, accounts);
  const nowMs = Date.now();
  await store.change(() => {
    for (const name of accounts) replacements.set(name, addKeys(store, name, role, nowMs));
  });
  const pushed = await pushChanged(store, flags, accounts);
  const isKnown = pushed === undefined ? under.length > 0 : allWell(pushed);
  // Credentials that servers do not know yet must reach nobody.
  const renewed = isKnown
    ? await store.change(() => accounts.flatMap((name) => moveUsers(store, name, replacements.get(name) ?? [], nowMs)))
    : [];
  const importers = isKnown
    ? await store.change(() => accounts.flatMap((name) => moveActivations(store, name, replacements.get(name) ?? [])))
    : [];
  const told = await pushChanged(store, flags, importers);
  const step: Step = isKnown ? 'moved' : 'added';
  const all = [...replacements.values()].flat();
  report(output, { step, replacements: all, renewed, importers, pushed: pushed && [...pushed, ...(told ?? [])] });
}

async function finish(store: AuthStore, flags: KeyFlags, output: Output, accounts: readonly string[]): Promise<void> {
  const chosen = accounts.map((name) => ({
    name,
    keys: replacementsIn(store, name).filter(({ role }) => flags.role === undefined || role === flags.role),
  }));
  const all = chosen.flatMap(({ keys }) => keys);
  if (all.length === 0) {
    throw new TrellisError('TRELLIS_AUTH_ROTATION', { message: 'No key is being replaced, so there is none to drop' });
  }
  if (flags.force !== true) {
    refuseWhileHeld(store, chosen);
    await refuseWhileUsed(store, flags, chosen);
  }
  await store.change(() => {
    for (const { name, keys } of chosen) if (keys.length > 0) dropKeys(store, name, keys, Date.now());
  });
  const pushed = await pushChanged(store, flags, accounts);
  report(output, { step: 'finished', replacements: all, renewed: [], pushed });
}

/** Accounts in other stores hold activations that nothing here can sign again. */
function refuseWhileHeld(
  store: AuthStore,
  chosen: readonly { readonly name: string; readonly keys: readonly KeyReplacement[] }[],
): void {
  for (const { name, keys } of chosen) {
    const { elsewhere } = holdersOf(store, name, new Set(keys.map(({ formerKey }) => formerKey)));
    if (elsewhere.length === 0) continue;
    throw new TrellisError('TRELLIS_AUTH_ROTATION', {
      message: `Accounts that are not in this store were given what account ${name} shares, perhaps by the former key: ${elsewhere.join(', ')}`,
      remedy: 'Share with them again (trellis auth share), and when they have accepted it, add --force.',
    });
  }
}

/** Nobody shall lose a connection by the last step who has not had the time to change credentials. */
async function refuseWhileUsed(
  store: AuthStore,
  flags: KeyFlags,
  chosen: readonly { readonly name: string; readonly keys: readonly KeyReplacement[] }[],
): Promise<void> {
  const system = systemLogin(flags, store);
  if (system === undefined) return;
  await using connection = await SystemConnection.connect(system.where, system.login);
  for (const { name, keys } of chosen) {
    const signers = await connection.connectedSigners(store.account(name).sub);
    const users = keys.reduce((sum, { formerKey }) => sum + (signers?.get(formerKey) ?? 0), 0);
    if (users === 0) continue;
    throw new TrellisError('TRELLIS_AUTH_ROTATION', {
      message: `${users} connection${users === 1 ? '' : 's'} of account ${name} still use credentials that the former key signed`,
      remedy: 'Bring the new creds files to their hosts and try again, or end these connections with --force.',
    });
  }
}

/** Takes the next step of replacing the operator's signing key. @throws TRELLIS_AUTH_ROTATION, TRELLIS_AUTH_KEY_MISSING */
export async function rotateOperatorKey(store: AuthStore, flags: KeyFlags, output: Output): Promise<void> {
  const nowMs = Date.now();
  if (flags.finish !== true) {
    const replacement = await store.change(() => addOperatorKey(store, nowMs));
    report(output, { step: 'added', replacements: [replacement], renewed: [], pushed: undefined, operator: true });
    return;
  }
  const replacement = operatorReplacement(store);
  if (replacement === undefined) {
    throw new TrellisError('TRELLIS_AUTH_ROTATION', {
      message: 'The operator key is not being replaced, so there is none to drop',
    });
  }
  const system = systemLogin(flags, store);
  if (system !== undefined) await refuseUnknownOperator(system, replacement.newKey);
  await store.change(() => resignAccounts(store, replacement, nowMs));
  const pushed = system === undefined ? undefined : await pushAccounts({ store, ...system });
  const well = pushed === undefined || allWell(pushed);
  if (well) await store.change(() => dropOperatorKey(store, replacement, nowMs));
  report(output, { step: well ? 'finished' : 'moved', replacements: [replacement], renewed: [], pushed, operator: true });
}

async function refuseUnknownOperator(system: NonNullable<ReturnType<typeof systemLogin>>, newKey: string): Promise<void> {
  await using connection = await SystemConnection.connect(system.where, system.login);
  const servers = await connection.trustedOperators();
  const stranger = servers.find(({ operators }) => {
    const keys = operators
      .map((jwt) => readNatsJwt(jwt, 'operator'))
      .flatMap((read) => (read.ok ? operatorKeys(read.claims) : []));
    return !keys.includes(newKey);
  });
  if (stranger === undefined) return;
  throw new TrellisError('TRELLIS_AUTH_ROTATION', {
    message: `Server ${stranger.server} does not know the new operator key`,
    remedy: 'Export again (trellis auth export --force) and restart the servers one after the other; then try again.',
  });
}

function hasRole(store: AuthStore, account: string, role: string): boolean {
  return (store.account(account).nats.signing_keys ?? []).some((key) => typeof key !== 'string' && key.role === role);
}

interface StepReport {
  readonly step: Step;
  readonly replacements: readonly KeyReplacement[];
  readonly renewed: readonly RenewedUser[];
  /** Accounts of the store whose imports hold new activations. */
  readonly importers?: readonly string[];
  readonly pushed: readonly PushRow[] | undefined;
  readonly operator?: true;
}

function report(output: Output, { step, replacements, renewed, importers = [], pushed, operator }: StepReport): void {
  output.result({ step, replacements, renewed, importers, pushed: pushed ?? null }, (print) => {
    for (const { role, formerKey, newKey } of replacements) {
      const fields: [string, string][] = [
        ['former key', step === 'finished' ? `${formerKey} (dropped)` : formerKey],
        ['new key', newKey],
      ];
      for (const line of fieldLines(role === undefined ? fields : [['role', role], ...fields])) print(line);
      print('');
    }
    if (pushed !== undefined) for (const line of [...pushLines(pushed), '']) print(line);
    if (step === 'moved' && operator !== true)
      for (const line of renewed.length === 0 ? [] : [...renewedLines(renewed), '']) print(line);
    if (importers.length > 0) print(`Signed again for what they import: ${importers.join(', ')}\n`);
    print(nextStep(step, pushed, operator === true));
  });
  if (pushed !== undefined && !allWell(pushed)) process.exitCode = EXIT.denied;
}

function nextStep(step: Step, pushed: readonly PushRow[] | undefined, operator: boolean): string {
  if (pushed !== undefined && !allWell(pushed))
    return 'The servers did not take it all, and the next step was not taken. Correct that and run the same command.';
  if (operator) {
    return step === 'finished'
      ? 'Done. Servers go on trusting the former key until they get the new operator JWT: trellis auth export --force, then restart them.'
      : 'Next: trellis auth export --force, restart the servers one after the other, then the same command with --finish.';
  }
  const tell = pushed === undefined ? 'A running server has to be told: trellis auth push. ' : '';
  if (step === 'finished') return `${tell}Done.`;
  return step === 'added'
    ? `${tell}Then run the same command again: it signs the users with the new key.`
    : 'Next: when every host has its new creds file, the same command with --finish.';
}
