import { describe, expect, it } from 'vitest';
import { patchGlue } from '../../../src/component/patches.ts';

const TRACE = `const _debugLog = (...args) => {
    if (!globalThis?.process?.env?.JCO_DEBUG) { return; }
    console.debug(...args);
  };`;
const failure = (where: string): string => `
        _debugLog('[Instruction::${where}] error during async call', {
          taskID: task.id(),
          subtaskID: task.getParentSubtask()?.id(),
          err,
        });
        getOrCreateAsyncState(0).markTrapped(err);
        task.setErrored(err);
        task.reject(err);
        task.exit();
        return task.completionPromise();
`;
const NONE = { asyncFunctions: 0, asyncStatics: 0 };

describe('patchGlue', () => {
  it('makes a rejected import reject, in every wrapper', () => {
    const { source, report } = patchGlue(TRACE + failure('CallInterface') + failure('CallWasm'), { ...NONE, asyncFunctions: 2 });
    expect(report.rejectedImports).toBe(2);
    expect(source).not.toContain('completionPromise');
    expect(source.match(/throw err;/g)).toHaveLength(2);
  });

  it('cuts trace calls off before their arguments are evaluated', () => {
    const { source, report } = patchGlue(`${TRACE}\n  _debugLog('a', { b: c() });\n my_debugLog(1);`, NONE);
    expect(report.traceCalls).toBe(1);
    expect(source).toContain("0&&_debugLog('a'");
    expect(source).toContain(' my_debugLog(1)');
    expect(source).not.toContain('process');
  });

  it('marks static functions of resources as async only when they may wait', () => {
    const glue = `${TRACE} _debugLog();\n    Counter.merge = function merge(arg0) {\n    Counter.prototype.up = function up(arg0) {`;
    const { source } = patchGlue(glue, { ...NONE, asyncStatics: 1 });
    expect(source).toContain('Counter.merge = async function merge(');
    expect(source).toContain('Counter.prototype.up = function up(');
    expect(patchGlue(glue, NONE).source).toContain('Counter.merge = function merge(');
  });

  it('makes private fields plain, but touches no string and no class that extends another', () => {
    const glue = `${TRACE} _debugLog();
      class Task {
        #state = 1;
        static #count = 0;
        state() { return \`\${this.#state}\` + (!Task.#count); }
      }
      const names = { 'a.#b': f, "c #d": g, 'ns:p/i@0.1.0#run': h };`;
    const { source, report } = patchGlue(glue, NONE);
    expect(report.plainFields).toBe(4);
    expect(source).toContain('_$state = 1;');
    expect(source).toContain('this._$state');
    expect(source).toContain(`{ 'a.#b': f, "c #d": g, 'ns:p/i@0.1.0#run': h }`);
    expect(patchGlue(`${glue} class Other extends Task {}`, NONE).report.plainFields).toBe(0);
    expect(patchGlue(`${glue} class Other extends Error {}`, NONE).report.plainFields).toBe(4);
  });

  it('wraps for waiting only what is called that way', () => {
    const wrapped = (name: string, fn: string): string =>
      `let ${name};\n    try {\n      ${name} = WebAssembly.promising(${fn});\n    } catch(err) {\n      ${name} = ${fn};\n    }\n`;
    const glue = `${TRACE} _debugLog();
      ${wrapped('postReturn0Async', "exports1['cabi_post_ns:p/i#f']")}
      ${wrapped('realloc0Async', 'exports1.cabi_realloc')}
      await realloc0Async(1);`;
    const { source, report } = patchGlue(glue, NONE);
    expect(report.unwrapped).toBe(1);
    expect(source).toContain("postReturn0Async = exports1['cabi_post_ns:p/i#f'];");
    expect(source).not.toContain('promising(exports1[');
    expect(source).toContain('realloc0Async = WebAssembly.promising(exports1.cabi_realloc);');
  });

  const unexpected: [string, string, typeof NONE][] = [
    ['a wrapper of another form', TRACE + failure('CallInterface').replace('task.exit();', 'task.leave();'), NONE],
    ['fewer wrappers than functions that may wait', `${TRACE} _debugLog()`, { ...NONE, asyncFunctions: 1 }],
    ['another trace function', 'const _debugLog = console.log; _debugLog()', NONE],
    ['no trace calls', TRACE, NONE],
    ['a missing static function', `${TRACE} _debugLog()`, { ...NONE, asyncStatics: 1 }],
  ];
  it.each(unexpected)('refuses code with %s', (_what, source, expected) => {
    expect(() => patchGlue(source, expected)).toThrow(expect.objectContaining({ code: 'TRELLIS_COMPONENT_PATCH' }));
  });
});
