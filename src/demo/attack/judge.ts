import type { ErrorCode } from '../../errors.ts';
import { type Attack, DENIED } from './attack.ts';
import type { GenuineCall } from './traffic.ts';

/** One line of the table. */
export interface AttackRow {
  readonly id: string;
  readonly attack: string;
  /** What the attacker was told, each once. */
  readonly answers: readonly string[];
  /** Codes in the hosts, each once; of forged answers, those in the caller. */
  readonly codes: readonly string[];
  /** Guest code ran beyond the genuine calls. Read off the runners' own counters. */
  readonly guestRan: boolean;
  /** Genuine calls during the attack that ended well, of those that should. */
  readonly genuine: { readonly made: number; readonly ok: number };
  /** True if the attack ended as it should. */
  readonly expected: boolean;
  /** Why it did not. */
  readonly surprise?: string;
}

/** What happened during one attack. */
export interface Outcome {
  readonly answers: readonly string[];
  /** Why the attack could not be carried out. */
  readonly failure: string | undefined;
  readonly codes: Readonly<Record<'host' | 'caller', readonly ErrorCode[]>>;
  readonly genuine: readonly GenuineCall[];
  /** Runs of guest code beyond those of the genuine calls. */
  readonly extraRuns: number;
}

/** Says whether an attack ended as it should: refused, by the right check, with no guest run and every genuine call answered. */
export function judge(attack: Attack, outcome: Outcome): AttackRow {
  const { answers, failure, genuine, extraRuns } = outcome;
  const ofHosts = unexpectedCodes(outcome.codes.host, attack.codes, 'any host');
  const ofCaller =
    attack.callerCodes === undefined ? [] : unexpectedCodes(outcome.codes.caller, attack.callerCodes, 'the caller');
  const codes = [...new Set([...outcome.codes.host, ...(attack.callerCodes === undefined ? [] : outcome.codes.caller)])];
  const allowed = attack.answers ?? DENIED;
  const ok = genuine.filter((call) => call.ok).length;
  const told = answers.filter((answer) => !allowed.test(answer));
  const surprises = [
    ...(failure === undefined ? [] : [`the attack could not be carried out: ${failure}`]),
    ...(extraRuns === 0 ? [] : [`guest code ran ${extraRuns} times more than the genuine calls`]),
    ...(told.length === 0 ? [] : [`the attacker was told ${told.join(', ')}`]),
    ...(answers.length > 0 ? [] : ['nothing was sent']),
    ...ofHosts,
    ...ofCaller,
    ...(ok === genuine.length ? [] : [`${genuine.length - ok} genuine calls failed`]),
  ];
  return {
    id: attack.id,
    attack: attack.words,
    answers,
    codes,
    guestRan: extraRuns !== 0,
    genuine: { made: genuine.length, ok },
    expected: surprises.length === 0,
    ...(surprises.length === 0 ? {} : { surprise: surprises.join('; ') }),
  };
}

/** ENV-33: whatever is wrong with a signed call, the attacker is told the same. */
export function sameAnswer(rows: readonly AttackRow[]): AttackRow {
  const refused = rows.filter((row) => row.answers.some(isDenial) && !row.codes.includes('TRELLIS_VERIFY_UNSIGNED'));
  const answers = [...new Set(refused.flatMap((row) => row.answers.filter(isDenial)))];
  return {
    id: 'ENV-33',
    attack: `the refusals of all ${refused.length} attacks with a token, side by side: does one of them help?`,
    answers,
    codes: [],
    guestRan: false,
    genuine: { made: 0, ok: 0 },
    expected: answers.length === 1,
    ...(answers.length === 1 ? {} : { surprise: 'refusals differ' }),
  };
}

const isDenial = (answer: string): boolean => answer.startsWith('401 ');

function unexpectedCodes(codes: readonly ErrorCode[], allowed: readonly ErrorCode[], where: string): string[] {
  const foreign = [...new Set(codes)].filter((code) => !allowed.includes(code));
  if (foreign.length > 0) return [`unexpected code ${foreign.join(', ')} in ${where}`];
  return allowed.length > 0 && codes.length === 0 ? [`no code in ${where}`] : [];
}
