import { ALLOWANCES, allowancesOf, allowed, isAllowanceName, NEVER_ALLOWED } from './allowances.ts';
import { ProblemList } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import { START_CODES, type Problem, type StartCode } from './problems.ts';
import { nearest } from './suggest.ts';

/** The problems, those among them that the list allows no longer refused. */
export function withAllowances(problems: readonly Problem[], list: readonly string[]): Problem[] {
  const names = allowed(list);
  return problems.map((problem) => {
    const { allowance, severity } = problem;
    const isAllowed = severity === 'refused' && allowance !== undefined && names.includes(allowance);
    return isAllowed ? { ...problem, severity: 'allowed' } : problem;
  });
}

/** START-14: names in `allow` that name nothing, or something that nobody may allow. */
export function checkAllowances({ config, sourceOf }: CheckContext): Problem[] {
  const problems = new ProblemList(sourceOf);
  for (const [i, entry] of config.allow.entries()) {
    const refuse = (summary: string, why: string, fix: string): void =>
      problems.add('START-14', `allow[${i}]`, { summary, value: entry, why, fix });
    if (isAllowanceName(entry)) continue;
    const isCode = Object.hasOwn(START_CODES, entry);
    const names = isCode ? allowancesOf(entry as StartCode) : [];
    if (names.length === 1) continue;
    if (names.length > 1) {
      refuse(`${entry} has several refusals.`, 'One entry accepts exactly one danger.', `Write ${names.join(' or ')}.`);
    } else if (isCode) {
      const why = NEVER_ALLOWED[entry as StartCode] ?? 'nothing would be won';
      refuse(`${entry} cannot be allowed.`, `${why[0]!.toUpperCase()}${why.slice(1)}.`, 'Correct what it reports.');
    } else {
      const all = Object.keys(ALLOWANCES);
      const meant = nearest(entry, all);
      refuse(
        'There is no refusal of this name.',
        'A misspelt name would allow nothing, or seem to.',
        meant === undefined ? `Write one of ${all.join(', ')}.` : `Did you mean ${meant}?`,
      );
    }
  }
  return problems.found;
}
