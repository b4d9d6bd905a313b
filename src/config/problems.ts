import type { AllowanceName } from './allowances.ts';

/**
 * What `--check-config` reports: everything that is wrong, at once, each with the setting, where its value came from, the
 * reason in one sentence and one thing to do. Codes are stable.
 */
export const START_CODES = {
  'START-01': 'A login by user and password, by token or by bearer JWT, in whatever place',
  'START-02': 'Anonymous connection beyond this computer',
  'START-03': 'Connection beyond this computer without TLS',
  'START-04': 'The same credentials for the ctl and the rpc connection outside development',
  'START-05': 'Credentials, seed or key file that others can read, or that another user owns',
  'START-06': 'Credentials or seed file that is missing, malformed, expired or of the wrong kind',
  'START-07':
    'Credentials that do not keep the two connections, or other tenants, apart (found out by trying, outside development)',
  'START-08': 'Verification switched off beyond this computer',
  'START-09': 'Cluster issuers that are malformed, swapped with the seed, or do not include the own key',
  'START-10': 'Ad hoc cluster key beyond this computer',
  'START-11': 'Seed in the environment outside development',
  'START-12': 'Certificate that is missing, malformed, expired or not yet valid',
  'START-13': 'Lattice, component or link name that cannot be part of a subject',
  'START-14': 'Unknown, malformed or conflicting setting',
  'START-15': 'Clock more than 5 s from that of the NATS server, outside development',
  'START-16': 'NATS server with known critical faults, outside development',
  'START-17': 'Components that cannot be confined, outside development',
  'START-18': 'Running as root outside development',
  'START-19': 'Debugger port open, or core dumps with the memory of the host, outside development',
  'START-20':
    'Component without digest that others may replace: a file that other users may write, an image by its tag; or an insecure registry; outside development',
} as const;

/** A stable code of a problem at start. */
export type StartCode = keyof typeof START_CODES;

/** One thing that is wrong with a configuration. Holds no secret, not even a malformed one. */
export interface Problem {
  readonly code: StartCode;
  /** `refused` stops the start, `warning` is only said, `allowed` would be refused had not somebody allowed it by name. */
  readonly severity: 'refused' | 'warning' | 'allowed';
  /** Name under which it can be allowed, if it can. */
  readonly allowance?: AllowanceName;
  /** One sentence: what is wrong. */
  readonly summary: string;
  /** Dotted path, e.g. `rpc.servers[0]`. */
  readonly setting: string;
  /** Where the value came from, e.g. `/etc/trellis/host.yaml:7`. */
  readonly source: string;
  /** The value, if it may be shown. */
  readonly value?: string;
  /** One sentence: the reason. */
  readonly why: string;
  /** One command or setting. */
  readonly fix: string;
}

const LONG_BASE32 = /S[A-Z2-7]{28,}/g;
const USER_INFO = /(^|\/\/|[\s"'=,[])[^\s"'/@,]+@/g;
const MAX_SHOWN = 100;

/**
 * Returns what a user wrote as a message may repeat it: one line, without anything that looks like a seed (well-formed or
 * not), a token or the user part of a URL.
 */
export function redactText(text: string): string {
  return text
    .replace(USER_INFO, '$1***@')
    .replace(/-----BEGIN[\s\S]*/g, '[redacted]')
    .replace(/eyJ[\w-]{8,}(?:\.[\w-]+)*/g, '[redacted]')
    .replace(LONG_BASE32, '[redacted]')
    .replace(/[\r\n]+/g, ' ')
    .replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Returns a setting's value as a problem may show it: {@link redactText}, at most 100 characters. */
export function showValue(value: unknown): string {
  const clean = redactText(typeof value === 'string' ? value : (JSON.stringify(value) ?? typeof value));
  return clean.length > MAX_SHOWN ? `${clean.slice(0, MAX_SHOWN - 3)}...` : clean;
}

/** Returns the report for a terminal: refusals first, then what was allowed, then warnings. Ends with a line feed. */
export function formatProblems(problems: readonly Problem[]): string {
  const refused = problems.filter((problem) => problem.severity === 'refused');
  const warnings = problems.filter((problem) => problem.severity === 'warning');
  const sections: string[] = [];
  if (refused.length > 0) {
    sections.push(`Not started: ${countOf(refused.length, 'problem')} in the configuration.\n`, ...refused.map(formatProblem));
  }
  const allowances = problems.filter((problem) => problem.severity === 'allowed');
  if (allowances.length > 0) sections.push(`Allowed by name, and dangerous:\n`, ...allowances.map(formatProblem));
  if (warnings.length > 0) sections.push(`${countOf(warnings.length, 'warning')}:\n`, ...warnings.map(formatProblem));
  return sections.join('\n');
}

const countOf = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`;

function formatProblem(problem: Problem): string {
  const value = problem.value === undefined ? '' : ` = ${problem.value}`;
  return [
    ` ${problem.code}  ${problem.summary}`,
    `   setting  ${problem.setting}${value}   (from ${problem.source})`,
    `   why      ${problem.why}`,
    `   fix      ${problem.fix}`,
    ...(problem.severity === 'refused' && problem.allowance !== undefined
      ? [`   or       accept the danger: --allow ${problem.allowance}`]
      : []),
    '',
  ].join('\n');
}
