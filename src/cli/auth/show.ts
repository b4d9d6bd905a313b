import type { Command } from 'commander';
import { type AccountFacts, describeStore, type StoreFacts, type UserFacts } from '../../auth/describe-store.ts';
import { fieldLines, tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

/** `trellis auth show`: what a store holds. */
export function registerShow(auth: Command): void {
  withStore(auth.command('show'))
    .description('Show operator, accounts, keys, users, when they end, and revocations. Never a seed.')
    .addHelpText(
      'after',
      examples('trellis auth show', 'trellis auth show --store ~/.local/share/nats/nsc', 'trellis auth show --output json'),
    )
    .action((flags: StoreFlags, command: Command) => {
      const nowMs = Date.now();
      const facts = describeStore(openStore(flags), nowMs);
      outputOf(command).result(facts, (print) => {
        for (const line of storeLines(facts, nowMs)) print(line);
      });
    });
}

function storeLines({ store, operator, accounts }: StoreFacts, nowMs: number): string[] {
  const here = (inStore: boolean): string => (inStore ? '' : ' (private key not here)');
  const lines = fieldLines([
    ['store', store],
    ['operator', `${operator.name} ${operator.identity.key}`],
    ['identity key', operator.identity.inStore ? 'here; belongs offline' : 'offline'],
    ['signs with', operator.signingKeys.map(({ key, inStore }) => key + here(inStore)).join('\n') || 'its identity key alone'],
  ]);
  if (!operator.strictSigningKeys)
    lines.push(
      '',
      'The identity key may sign as well: trellis wants signing keys only (nsc edit operator --require-signing-keys).',
    );
  const rows = accounts.flatMap((account) => [
    accountRow(account),
    ...account.users.map(userRow),
    ...revocationRows(account),
    ...sharingRows(account, nowMs),
  ]);
  return [...lines, '', ...tableLines(['ACCOUNT AND USERS', 'KIND', 'PUBLIC KEY', 'ENDS', 'STATE'], rows)];
}

function accountRow({
  name,
  reason,
  tenant,
  lattice,
  partitions = [],
  jetstream,
  publicKey = '',
  expiresMs,
  state,
}: AccountFacts): string[] {
  const of = tenant === undefined ? [] : [`${partitions.join('+')} of ${tenant}`, `lattice ${String(lattice)}`];
  const what = [...of, ...(jetstream === true ? ['JetStream'] : [])].join(', ');
  return [name, what, publicKey, day(expiresMs), reason ?? state];
}

function userRow({ name, reason, kind, role, publicKey = '', expiresMs, state }: UserFacts): string[] {
  const what = role === undefined ? (kind ?? '') : role;
  return [`  ${name}`, what, publicKey, day(expiresMs), reason ?? state];
}

function revocationRows({ revocations = [], users }: AccountFacts): string[][] {
  // A revoked user that is still in the store says so itself.
  const unknown = revocations.filter(({ user }) => !users.some(({ publicKey }) => publicKey === user));
  return unknown.map(({ user, atMs }) => [
    user === '*' ? '  (all users)' : '  (no user here)',
    'revoked',
    user === '*' ? '' : user,
    '',
    `JWTs until ${new Date(atMs).toISOString()}`,
  ]);
}

/** What the account shares with others, and takes from them. Everybody's exports of the system account are no news. */
function sharingRows({ exports = [], imports = [] }: AccountFacts, nowMs: number): string[][] {
  return [
    ...exports
      .filter(({ subject }) => !subject.startsWith('$SYS.'))
      .flatMap(({ subject, isPrivate, revocations, givenTo }) => [
        ['  (shares)', isPrivate ? 'with those below' : 'with everybody', subject, '', ''],
        ...givenTo.map(({ account, functions, expiresMs }) => [
          '',
          functions.length === 0 ? 'given to' : `${functions.join(', ')} given to`,
          account,
          day(expiresMs),
          expiresMs !== undefined && expiresMs <= nowMs ? 'over' : '',
        ]),
        ...revocations.map(({ account, atMs }) => ['', 'taken back from', account, '', `what was given until ${day(atMs)}`]),
      ]),
    ...imports.map(({ localSubject, subject, from, expiresMs }) => [
      '  (takes)',
      `from ${from}`,
      localSubject === subject ? subject : `${localSubject} = ${subject}`,
      day(expiresMs),
      '',
    ]),
  ];
}

const day = (ms: number | undefined): string => (ms === undefined ? '' : new Date(ms).toISOString().slice(0, 16) + 'Z');
