import { Option } from 'commander';
import type { Command } from 'commander';
import type { AccountClaims, OperatorClaims, UserClaims } from '../../auth/claims-shape.ts';
import { readCredsFile } from '../../auth/creds-file.ts';
import { readNatsJwt } from '../../auth/nats-jwt.ts';
import { extensionsThatAllow } from '../../auth/permission-advice.ts';
import type { AuthStore } from '../../auth/store.ts';
import { examineUser, type UserExamination } from '../../auth/user-rights.ts';
import { EXIT, TrellisError } from '../../errors.ts';
import { judgePublish, judgeSubscribe, type SubjectRights, type SubjectVerdict } from '../../nats/subject-match.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { readTextFile } from '../text-file.ts';
import { openStore, type StoreFlags, storeDir, withStore } from './store-option.ts';

interface CheckFlags extends StoreFlags {
  readonly creds: string;
  readonly accountJwt?: string;
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
  readonly queue?: string;
  readonly connection: string;
}

/** A question and its answer. */
interface Answer {
  readonly operation: 'publish' | 'subscribe';
  readonly subject: string;
  readonly queue?: string;
  /** `undefined`: the rights are not known here. */
  readonly verdict: SubjectVerdict | undefined;
  /** Extensions of its permission template that would allow it. */
  readonly extensions: readonly string[];
}

/** `trellis auth check`: why a user may or may not publish or subscribe. */
export function registerCheck(auth: Command): void {
  withStore(auth.command('check'))
    .description(
      'Say what a creds file may do, and why a subject is allowed or refused. Asks no server. Ends with 4 if anything is refused, with 3 if it is not known.',
    )
    .requiredOption('--creds <file>', 'creds file of the user')
    .option('--publish <subject...>', 'subject to publish to')
    .option('--subscribe <subject...>', 'subject to subscribe to; may hold wildcards')
    .option('--queue <name>', 'queue group of the subscriptions')
    .option('--account-jwt <file>', 'JWT of its account, instead of the one in the store')
    .addOption(
      new Option('--connection <type>', 'how it connects')
        .choices(['STANDARD', 'LEAFNODE', 'WEBSOCKET', 'MQTT'])
        .default('STANDARD'),
    )
    .addHelpText(
      'after',
      examples(
        'trellis auth check --creds web-1-rpc.creds --publish lab.hello.wrpc.0.0.1.x',
        'trellis auth check --creds web-1-rpc.creds --subscribe "wasmbus.ctl.>"',
        '# everything it may do; on a machine without the store',
        'trellis auth check --creds web-1-rpc.creds --account-jwt acme-rpc.jwt',
      ),
    )
    .action((flags: CheckFlags, command: Command) => {
      const { claims, exposed } = readCredsFile(flags.creds);
      const { account, operator } = accountOf(claims, flags);
      const found = examineUser({ user: claims, account, operator, connectionType: flags.connection, nowMs: Date.now() });
      const answers = answersTo(flags, found, account);
      const refused = found.problems.length > 0 || answers.some(({ verdict }) => verdict?.allowed === false);
      const facts = {
        user: { name: claims.name, publicKey: claims.sub },
        account: account === undefined ? null : { name: account.name, publicKey: account.sub },
        ...found,
        answers,
        readableByOthers: exposed,
      };
      outputOf(command).result(facts, (print) => {
        for (const line of userLines(claims, account, found)) print(line);
        if (exposed) print(`\nOthers on this machine can read this file: chmod 600 ${flags.creds}`);
        for (const { why, fix } of found.problems) print(`\nThe server would refuse its login: ${why}.\n  fix   ${fix}`);
        if (answers.length === 0) for (const line of rightsLines(found.rights)) print(line);
        else for (const line of answers.flatMap((answer) => answerLines(answer, found))) print(line);
      });
      // Nothing is allowed by what is not known.
      if (answers.some(({ verdict }) => verdict === undefined)) process.exitCode = EXIT.notFound;
      if (refused) process.exitCode = EXIT.denied;
    });
}

/** The account of a user: from the file that is named, or from the store if there is one that has it. */
function accountOf(
  user: UserClaims,
  flags: CheckFlags,
): { readonly account?: AccountClaims | undefined; readonly operator?: OperatorClaims } {
  const key = user.nats.issuer_account ?? user.iss;
  if (flags.accountJwt !== undefined) {
    const read = readNatsJwt(readTextFile(flags.accountJwt).trim(), 'account');
    if (!read.ok) throw new TrellisError('TRELLIS_CLI_FILE', { message: `The JWT in ${flags.accountJwt} ${read.reason}` });
    if (read.claims.sub === key) return { account: read.claims };
    throw new TrellisError('TRELLIS_CLI_FILE', {
      message: `${flags.accountJwt} is for account ${read.claims.sub}, and the user belongs to ${key}`,
      remedy: 'Name the JWT of that account.',
    });
  }
  const store = storeIfAny(flags);
  if (store === undefined) return {};
  const account = store.accounts().find((each) => each.ok && each.claims.sub === key);
  return { operator: store.operator(), account: account?.ok === true ? account.claims : undefined };
}

/** A store is not needed where the account is not asked for; one that was named must be there. */
function storeIfAny(flags: CheckFlags): AuthStore | undefined {
  try {
    return openStore(flags);
  } catch (error) {
    if (
      flags.store === undefined &&
      error instanceof TrellisError &&
      error.message === `There is no store at ${storeDir(flags)}`
    ) {
      return undefined;
    }
    throw error;
  }
}

function answersTo(
  { publish = [], subscribe = [], queue }: CheckFlags,
  found: UserExamination,
  account?: AccountClaims,
): Answer[] {
  const { rights, role } = found;
  const answer = (operation: Answer['operation'], subject: string): Answer => {
    const judge = (of: SubjectRights): SubjectVerdict =>
      operation === 'publish' ? judgePublish(subject, of.publish) : judgeSubscribe(subject, of.subscribe, queue);
    const verdict = rights === undefined ? undefined : judge(rights);
    const isRefused = verdict?.allowed === false && verdict.why === 'not listed';
    const extensions =
      isRefused && role !== undefined ? extensionsThatAllow(role, account?.nats.tags, (more) => judge(more).allowed) : [];
    return { operation, subject, ...(queue === undefined || operation === 'publish' ? {} : { queue }), verdict, extensions };
  };
  return [...publish.map((subject) => answer('publish', subject)), ...subscribe.map((subject) => answer('subscribe', subject))];
}

function userLines(user: UserClaims, account: AccountClaims | undefined, found: UserExamination): string[] {
  const where = {
    'scoped key': `in its account, for role ${found.role ?? ''}`,
    user: 'in its JWT',
    'account default': 'in its account, for users without rights of their own',
    unknown: 'not known: they stand in its account; name it with --store or --account-jwt',
  };
  const ends = found.expiresMs === undefined ? 'never' : new Date(found.expiresMs).toISOString();
  return fieldLines([
    ['user', `${user.name ?? ''} ${user.sub}`.trim()],
    [
      'account',
      account === undefined ? `${user.nats.issuer_account ?? user.iss} (not known here)` : `${account.name ?? ''} ${account.sub}`,
    ],
    ['rights', where[found.source]],
    ['ends', ends],
  ]);
}

function rightsLines(rights: SubjectRights | undefined): string[] {
  if (rights === undefined) return [];
  const side = (title: string, { allow, deny }: SubjectRights['publish']): string[] => [
    '',
    title,
    ...(allow ?? ['everything']).map((entry) => `  ${entry}`),
    ...(deny ?? []).map((entry) => `  not ${entry}`),
  ];
  return [...side('MAY PUBLISH', rights.publish), ...side('MAY SUBSCRIBE', rights.subscribe), ...replyLines(rights)];
}

const replyLines = ({ responses }: SubjectRights): string[] =>
  responses === undefined
    ? []
    : ['', `May reply to whoever asks: ${responses.max} messages within ${responses.ttlMs / 1_000} s.`];

function answerLines({ operation, subject, queue, verdict, extensions }: Answer, { rights, role }: UserExamination): string[] {
  const what = `${operation} ${subject}${queue === undefined ? '' : ` in queue ${queue}`}`;
  if (verdict === undefined) return ['', `${what}: not known, because its rights are not known here`];
  if (verdict.allowed) {
    const except = verdict.except === undefined ? [] : [`  but messages on ${verdict.except.join(', ')} are not delivered`];
    return ['', `${what}: allowed${verdict.by === undefined ? ', as nothing is listed' : ` by ${verdict.by}`}`, ...except];
  }
  if (verdict.why === 'no subject') {
    const kind =
      operation === 'publish' ? 'Nothing can be published to it: it is no subject, or holds a wildcard.' : 'It is no subject.';
    return ['', `${what}: refused`, `  ${kind}`];
  }
  if (verdict.why === 'denied') return ['', `${what}: refused by ${verdict.by}, which is denied`];
  const list = (operation === 'publish' ? rights?.publish.allow : rights?.subscribe.allow) ?? [];
  const near = list.filter((entry) => entry.split('.', 2)[0] === subject.split('.', 2)[0]).slice(0, 5);
  return [
    '',
    `${what}: refused, no entry covers it`,
    ...(near.length === 0 ? [] : [`  nearest   ${near.join('  ')}`]),
    ...(operation === 'publish' && rights?.responses !== undefined
      ? ['  a reply to a request that came in is allowed all the same']
      : []),
    ...(extensions.length === 0 ? [] : [`  extension ${extensions.join(' or ')} of role ${role ?? ''} would allow it`]),
  ];
}
