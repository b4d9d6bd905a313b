import { TrellisError } from '../errors.ts';

/**
 * Corrections to the JavaScript that jco-transpile generates. Each one looks for an exact text of the pinned version and
 * counts what it found: a count that is not the expected one is an error, never a silent miss.
 */

/** Part of the cache key; raise it whenever a patch changes. */
export const PATCH_VERSION = 4;

/** What {@link patchGlue} did. */
export interface PatchReport {
  /** Places where a rejected host import now rejects the export. */
  readonly rejectedImports: number;
  /** Static resource functions that are now marked `async`. */
  readonly asyncStatics: number;
  /** Trace calls that are no longer evaluated. */
  readonly traceCalls: number;
  /** Uses of private fields that became plain ones; 0 where classes extend each other. */
  readonly plainFields: number;
  /** Functions that are no longer wrapped for waiting, because nothing calls the wrapped form. */
  readonly unwrapped: number;
}

/** What the types of a component say about its generated code. */
export interface ExpectedPatches {
  /** Lower bound for the wrappers of functions that may wait. */
  readonly asyncFunctions: number;
  /** Static functions of exported resources that may wait. */
  readonly asyncStatics: number;
}

const TRACE_DEFINITION =
  /const _debugLog = \(\.\.\.args\) => \{\s*if \(!globalThis\?\.process\?\.env\?\.JCO_DEBUG\) \{ return; \}\s*console\.debug\(\.\.\.args\);\s*\};/g;
const TRACE_CALL = /(?<![\w$.])_debugLog\(/g;
const STATIC_FUNCTION = /^(\s*[A-Z]\w*\.(?!prototype\b)\w+ = )function (?=\w+\()/gm;
const ASYNC_FAILURE = /error during async call'/g;
// Between the two texts lie only the trace arguments and five statements that mark the task as failed.
const STUCK_FAILURE =
  /(error during async call', \{[^{}]{0,200}\}\);\s*getOrCreateAsyncState\(\d+\)\.markTrapped\(err\);\s*task\.setErrored\(err\);\s*task\.reject\(err\);\s*task\.exit\(\);\s*)return task\.completionPromise\(\);/g;

/**
 * Returns the corrected glue code.
 *
 * - A host import that rejects would leave the export pending for ever (its wrapper waits for a task that never settles):
 *   the wrapper throws the error instead.
 * - A static function of an exported resource gets the body of an async function without being one: it becomes one.
 * - Private fields become plain ones where that is safe.
 * - Wrapping a function for waiting costs more than a call; those that nothing calls are not wrapped.
 * - `_debugLog` reads an environment variable at every trace point, and its arguments cost more than many calls: trace
 *   calls are cut off before their arguments are evaluated.
 *
 * @param expected what the component's types say must be found.
 * @throws TRELLIS_COMPONENT_PATCH when the text is not that of the pinned jco version.
 */
export function patchGlue(source: string, expected: ExpectedPatches): { source: string; report: PatchReport } {
  const failures = count(source, ASYNC_FAILURE);
  let rejectedImports = 0;
  let out = source.replace(STUCK_FAILURE, (_all, before: string) => {
    rejectedImports += 1;
    return `${before}throw err;`;
  });
  expectPatch(rejectedImports === failures && rejectedImports >= expected.asyncFunctions, 'rejected imports', {
    found: failures,
    patched: rejectedImports,
    expected: expected.asyncFunctions,
  });

  let asyncStatics = 0;
  if (expected.asyncStatics > 0) {
    out = out.replace(STATIC_FUNCTION, (_all, before: string) => {
      asyncStatics += 1;
      return `${before}async function `;
    });
  }
  expectPatch(asyncStatics === expected.asyncStatics, 'static functions', {
    found: asyncStatics,
    expected: expected.asyncStatics,
  });

  let definitions = 0;
  out = out.replace(TRACE_DEFINITION, () => {
    definitions += 1;
    return 'const _debugLog = () => {};';
  });
  expectPatch(definitions === 1, 'trace definition', { found: definitions });
  let traceCalls = 0;
  out = out.replace(TRACE_CALL, () => {
    traceCalls += 1;
    return '0&&_debugLog(';
  });
  expectPatch(traceCalls > 0, 'trace calls', { found: traceCalls });
  const plain = withPlainFields(out);
  const unwrapped = withoutUnusedWrappers(plain.source);
  const report = { rejectedImports, asyncStatics, traceCalls, plainFields: plain.count, unwrapped: unwrapped.count };
  return { source: unwrapped.source, report };
}

const WRAPPED = /try \{\n\s*(\w+Async) = WebAssembly\.promising\(([^;\n]*)\);\n\s*\} catch\(err\) \{\n\s*\1 = \2;\n\s*\}/g;
const WRAPPED_NAME = /\b(?:postReturn|realloc)\d+Async\b/g;
/** Its declaration, and one assignment in each branch. */
const USES_OF_AN_UNUSED_NAME = 3;

/** Only an optimisation: a wrapper that is used, or has another form, stays. */
function withoutUnusedWrappers(source: string): { source: string; count: number } {
  const uses = new Map<string, number>();
  for (const [name] of source.matchAll(WRAPPED_NAME)) uses.set(name, (uses.get(name) ?? 0) + 1);
  let dropped = 0;
  const out = source.replace(WRAPPED, (all: string, name: string, fn: string) => {
    if (uses.get(name) !== USES_OF_AN_UNUSED_NAME) return all;
    dropped += 1;
    return `${name} = ${fn};`;
  });
  return { source: out, count: dropped };
}

// A string literal (left as it is: it may hold a name of the component), or a private name in use or declared.
const STRING_OR_PRIVATE = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|(?<=[\s.!(])#([A-Za-z_]\w*)/g;

/**
 * Every instance makes its classes anew, and private fields of ever new classes are slow to reach: plain fields make a warm
 * call about a third cheaper. Only an optimisation, so code it cannot judge stays as it is: where one class extends
 * another, both may have a private field of the same name.
 */
function withPlainFields(source: string): { source: string; count: number } {
  if (/class \w+ extends (?!Error\b)/.test(source) || source.includes('_$')) return { source, count: 0 };
  let uses = 0;
  const out = source.replace(STRING_OR_PRIVATE, (all: string, name: string | undefined) => {
    if (name === undefined) return all;
    uses += 1;
    return `_$${name}`;
  });
  return { source: out, count: uses };
}

function count(text: string, pattern: RegExp): number {
  let hits = 0;
  for (const _ of text.matchAll(pattern)) hits += 1;
  return hits;
}

function expectPatch(ok: boolean, what: string, details: Record<string, number>): void {
  if (ok) return;
  throw new TrellisError('TRELLIS_COMPONENT_PATCH', {
    message: `the generated code does not have the expected form (${what}: ${JSON.stringify(details)})`,
    details: { what, ...details },
  });
}
