import { ALLOWANCES } from '../../config/allowances.ts';
import { formatProblems, type Problem } from '../../config/problems.ts';
import { visible } from '../../telemetry/scrub.ts';
import { tableLines } from '../output.ts';
import { type Check, type CheckVerdict, type Examination, worst } from './check.ts';

const LEVEL = { ok: 0, allowed: 1, unknown: 3, warning: 1, failed: 2 } as const satisfies Record<CheckVerdict, number>;
const NAGIOS_WORDS = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const;
const MAX_NAGIOS_CHARS = 900;

/** For people: a row for each check, then what is wrong, with reason and fix. */
export function tableText({ checks, lattice, durationMs }: Examination): string[] {
  const rows = checks.map(({ name, verdict, found }) => [name, verdict, visible(found)]);
  const problems = checks.flatMap((check) => check.problems.map((problem) => asProblem(check, problem)));
  const verdict = worst(checks.map((check) => check.verdict));
  return [
    ...tableLines(['CHECK', 'VERDICT', 'FOUND'], rows),
    '',
    ...formatProblems(problems)
      .replace(/^Not started: .*\n/, 'What a host would not start with:\n')
      .trimEnd()
      .split('\n')
      .map((line) => visible(line)),
    ...(problems.length > 0 ? [''] : []),
    `Lattice ${lattice}: ${summaryOf(checks)}, ${verdict === 'failed' ? 'a host would not start' : 'a host would start'} (${(durationMs / 1_000).toFixed(1)} s).`,
  ];
}

function asProblem({ name }: Check, problem: Check['problems'][number]): Problem {
  // A check by trying has no setting of its own at times; its name says as much.
  const { code, setting = name, ...rest } = problem;
  return { ...rest, code: code as Problem['code'], setting, source: 'trellis doctor' };
}

function summaryOf(checks: readonly Check[]): string {
  const counts = (['ok', 'allowed', 'unknown', 'warning', 'failed'] as const)
    .map((verdict) => [verdict, checks.filter((check) => check.verdict === verdict).length] as const)
    .filter(([, n]) => n > 0);
  return counts.map(([verdict, n]) => `${n} ${verdict}`).join(', ');
}

/** For Nagios and its kin: one line with performance data, and the exit code 0 to 3. */
export function nagiosLine({ checks }: Examination): { readonly line: string; readonly exitCode: number } {
  const level = Math.max(...checks.map(({ verdict }) => (verdict === 'unknown' ? 0 : LEVEL[verdict])), 0);
  // What could not be found out counts when nothing else is wrong.
  const exitCode = level === 0 && checks.some(({ verdict }) => verdict === 'unknown') ? LEVEL.unknown : level;
  const notable = checks
    .filter(({ verdict }) => verdict !== 'ok')
    .map(({ name, verdict, found }) => `${name} ${verdict}: ${found}`);
  const text = [summaryOf(checks), ...notable].join('; ').replaceAll('|', '/');
  const data = checks.flatMap(({ name, values }) =>
    values.map((each) => `'${metricOf(name, each.name)}'=${number(each.value)}${each.unit}`),
  );
  return {
    line: visible(`TRELLIS ${NAGIOS_WORDS[exitCode]} - ${cut(text)}${data.length > 0 ? ` | ${data.join(' ')}` : ''}`),
    exitCode,
  };
}

/** For the textfile collector of the Prometheus node exporter. Verdicts are 0 ok, 1 warning or allowed, 2 failed, 3 unknown. */
export function prometheusText({ checks, lattice, startedMs, durationMs }: Examination, allow: readonly string[]): string {
  const lines: string[] = [];
  const family = (
    name: string,
    help: string,
    samples: readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[],
  ): void => {
    if (samples.length === 0) return;
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} gauge`);
    for (const [labels, value] of samples) {
      const text = Object.entries({ lattice, ...labels }).map(
        ([key, each]) => `${key}="${each.replace(/[\\"\n]/g, (c) => (c === '\n' ? '\\n' : `\\${c}`))}"`,
      );
      lines.push(`${name}{${text.join(',')}} ${number(value)}`);
    }
  };
  family(
    'trellis_doctor_check',
    'Verdict of a check: 0 ok, 1 warning or allowed by name, 2 failed, 3 unknown.',
    checks.map(({ name, verdict }) => [{ check: name }, LEVEL[verdict]]),
  );
  family(
    'trellis_doctor_check_duration_seconds',
    'How long a check took.',
    checks.map(({ name, durationMs: ms }) => [{ check: name }, ms / 1_000]),
  );
  const kinds = [...new Set(checks.flatMap(({ values }) => values.map((value) => value.name)))];
  for (const kind of kinds) {
    const samples = checks.flatMap(({ name, values }) =>
      values.filter((value) => value.name === kind).map((value) => [{ check: name }, value.value] as const),
    );
    const unit = checks.flatMap(({ values }) => values).find((value) => value.name === kind)!.unit === 's' ? '_seconds' : '';
    family(`trellis_doctor_${kind}${unit}`, HELP[kind] ?? kind, samples);
  }
  family(
    'trellis_doctor_allowed',
    'A refusal at start that is accepted by name.',
    allow.map((name) => [{ name, code: codeOf(name) }, 1]),
  );
  family('trellis_doctor_last_run_timestamp_seconds', 'When the checks began.', [[{}, startedMs / 1_000]]);
  family('trellis_doctor_duration_seconds', 'How long all of them took.', [[{}, durationMs / 1_000]]);
  return `${lines.join('\n')}\n`;
}

const HELP: Readonly<Record<string, string>> = {
  latency: 'Least round trip to the server.',
  credentials_left: 'Time until the credentials end; negative once they have.',
  certificates_left: 'Time until the first certificate ends; negative once it has.',
  clock_offset: "Clock of the server minus this computer's.",
  delegation_left: 'Time until the delegation of the host ends.',
  trust_entries: 'Entries in the trust bucket.',
  subjects_tried: 'Subjects on which the rights of the credentials were tried.',
};

const codeOf = (name: string): string =>
  Object.hasOwn(ALLOWANCES, name) ? ALLOWANCES[name as keyof typeof ALLOWANCES].code : '';
const metricOf = (check: string, name: string): string => `${/^(?:ctl|rpc)-/.exec(check)?.[0] ?? ''}${name}`.replaceAll('-', '_');
const number = (value: number): string => String(Number(value.toFixed(6)));
const cut = (text: string): string => (text.length > MAX_NAGIOS_CHARS ? `${text.slice(0, MAX_NAGIOS_CHARS - 3)}...` : text);
