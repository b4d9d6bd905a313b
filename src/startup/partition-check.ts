import type { Problem } from '../config/problems.ts';
import { isAsExpected, type ProbeFinding } from '../nats/probe-finding.ts';

const MAX_NAMED = 12;

/** What is known of the two logins. */
export interface Logins {
  /** True if the connection logs in as nobody. */
  readonly ctl: boolean;
  readonly rpc: boolean;
}

/** START-07: what the probe found that must not be, a problem for each connection; a warning for what it could not tell or the host lacks. */
export function partitionProblems(findings: readonly ProbeFinding[], anonymous: Logins): Problem[] {
  const faults = findings.filter((finding) => !isAsExpected(finding));
  const open = faults.filter(({ expected, verdict }) => expected === 'refused' && verdict === 'allowed');
  const untold = faults.filter(({ expected, verdict }) => expected === 'refused' && verdict === 'unknown');
  const lacking = faults.filter(({ expected }) => expected === 'allowed');
  const problems: Problem[] = [];
  // One sentence for a server without users, not a list of all that nobody may do.
  if (
    anonymous.ctl &&
    anonymous.rpc &&
    open.some(({ partition, about }) => partition === 'rpc' && about === 'commands to hosts')
  ) {
    problems.push({
      ...base('rpc'),
      summary: 'The NATS server knows no users: both connections, and whoever else reaches it, may do everything.',
      why: 'There is no partition: whoever may invoke may also control hosts.',
      fix: 'Give the server two users for this host (trellis auth, or config/nats-server.conf) and set ctl.credsFile and rpc.credsFile.',
    });
  } else {
    for (const partition of ['ctl', 'rpc'] as const) {
      const own = open.filter((finding) => finding.partition === partition);
      if (own.length > 0) problems.push(tooMuch(partition, own));
    }
  }
  if (untold.length > 0) problems.push(notTold(untold));
  for (const partition of ['ctl', 'rpc'] as const) {
    const own = lacking.filter((finding) => finding.partition === partition);
    if (own.length > 0) problems.push(tooLittle(partition, own));
  }
  return problems;
}

function base(partition: 'ctl' | 'rpc'): Pick<Problem, 'code' | 'severity' | 'allowance' | 'setting' | 'source'> {
  return {
    code: 'START-07',
    severity: 'refused',
    allowance: 'partition',
    setting: `${partition}.credsFile`,
    source: 'what the server let it do',
  };
}

function tooMuch(partition: 'ctl' | 'rpc', open: readonly ProbeFinding[]): Problem {
  return {
    ...base(partition),
    summary: `The ${partition} credentials reach more than they may: ${named(open)}.`,
    why:
      partition === 'rpc'
        ? 'Whoever steals them, from a component or a provider, is not held to invocations.'
        : 'Whoever steals them is not held to the control of this lattice.',
    fix: `Give this host a ${partition} user with least rights (trellis auth host add, or config/nats-server.conf).`,
  };
}

function notTold(untold: readonly ProbeFinding[]): Problem {
  const partitions = [...new Set(untold.map(({ partition }) => partition))].join(' and ');
  return {
    ...warning(untold[0]!.partition),
    summary: `Whether the ${partitions} connection is held to its own rights cannot be told from here.`,
    why: 'It logs in as nobody: a leaf node says nothing of what its hub refuses.',
    fix: 'Look at the rights of the user that the leaf node logs in with: trellis doctor there, or trellis auth check.',
  };
}

function tooLittle(partition: 'ctl' | 'rpc', lacking: readonly ProbeFinding[]): Problem {
  return {
    ...warning(partition),
    summary: `The ${partition} credentials lack rights that this host needs: ${named(lacking)}.`,
    why: 'Calls or commands on these subjects will get no answer.',
    fix: `Let the ${partition} user ${[...new Set(lacking.map(({ action, subject }) => `${action} ${patternOf(subject)}`))].join(', ')}.`,
  };
}

function warning(partition: 'ctl' | 'rpc'): Pick<Problem, 'code' | 'severity' | 'setting' | 'source'> {
  const { code, setting, source } = base(partition);
  return { code, severity: 'warning', setting, source };
}

/** `publish commands to hosts, subscribe events`, at most twelve. */
function named(findings: readonly ProbeFinding[]): string {
  const all = [...new Set(findings.map(({ action, about }) => `${action} ${about}`))];
  const rest = all.length - MAX_NAMED;
  return rest > 0 ? `${all.slice(0, MAX_NAMED).join(', ')} and ${rest} more` : all.join(', ');
}

/** The subject with `>` in place of its random end. */
function patternOf(subject: string): string {
  return subject.replace(/(\.[\w-]{22})?\.probe[0-9a-f]{24}.*$/, '.>');
}
