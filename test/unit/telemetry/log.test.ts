import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { TrellisError } from '../../../src/errors.ts';
import { createLogger } from '../../../src/telemetry/log.ts';
import type { LoggerOptions } from '../../../src/telemetry/log.ts';
import { REDACTED } from '../../../src/telemetry/scrub.ts';

const SEED = `SCA${'Q'.repeat(55)}`;

function capture(options: LoggerOptions = {}) {
  const lines: string[] = [];
  const log = createLogger({
    level: 'trace',
    format: 'json',
    destination: { write: (line) => void lines.push(line) },
    ...options,
  });
  return { log, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('createLogger', () => {
  it('writes one JSON line per event with level, time and bindings', () => {
    const { log, lines, parsed } = capture();
    log.child({ component: 'hello' }).info({ calls: 3 }, 'served');
    expect(lines[0]).toMatch(/\n$/);
    expect(parsed()[0]).toMatchObject({ level: 'info', component: 'hello', calls: 3, msg: 'served' });
    expect(new Date(String(parsed()[0]!['time'])).getTime()).not.toBeNaN();
  });

  it('changes its least level for all its children, older ones too', () => {
    const { log, parsed } = capture({ level: 'info' });
    const child = log.child({ part: 'one' });
    child.debug('not yet');
    expect(child.enabled('debug')).toBe(false);
    log.setLevel('debug');
    child.child({}).debug('now');
    expect(child.enabled('debug')).toBe(true);
    child.setLevel('error');
    log.warn('no more');
    log.fatal('always');
    expect(parsed().map(({ msg }) => msg)).toEqual(['now', 'always']);
  });

  it('LEK-01 shows no secret, by field name, by shape or by registration', () => {
    const { log, lines } = capture();
    log.scrubber.register('correct horse battery');
    log.info({ seed: 'a-short-secret', nested: { token: 'tok', deep: { jwt: 'x' } } }, 'by name');
    log.warn({ detail: `the seed is ${SEED}` }, `also in the message: ${SEED}`);
    log.error({ err: new Error(`cannot use ${SEED}`, { cause: new Error('correct horse battery') }) }, 'in an error');
    log.child({ note: SEED }).debug('in a binding');
    const text = lines.join('');
    for (const secret of ['a-short-secret', '"tok"', SEED, 'correct horse']) expect(text).not.toContain(secret);
    expect(text.match(new RegExp(REDACTED.replace(/[[\]]/g, '\\$&'), 'g'))!.length).toBeGreaterThanOrEqual(7);
  });

  it('LEK-07 keeps CR, LF and ANSI inside one escaped line, JSON and pretty', () => {
    for (const format of ['json', 'pretty'] as const) {
      const { log, lines } = capture({ format });
      log.info({ id: 'a\r\n2026 FATAL forged', '\u001b[2Jkey': 1 }, 'x\n{"level":"fatal"}\u001b[31m\u009b31m');
      expect(lines).toHaveLength(1);
      // eslint-disable-next-line no-control-regex
      expect(lines[0]!.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
    }
  });

  it('shows code and remedy of our errors and the stack of unexpected ones only', () => {
    const { log, parsed } = capture();
    log.error({ err: new TrellisError('TRELLIS_USAGE', { message: 'no' }) }, 'ours');
    log.error({ err: new TypeError('boom') }, 'not ours');
    expect(parsed()[0]!['err']).toEqual({
      type: 'TrellisError',
      message: 'no',
      code: 'TRELLIS_USAGE',
      remedy: expect.any(String) as string,
    });
    expect(parsed()[1]!['err']).toMatchObject({ type: 'TypeError', stack: expect.stringContaining('log.test') as string });
  });

  it('limits lines with a code to 60 a second, leaves each code three, and says how many were left out', () => {
    let nowMs = 0;
    const clock: Clock = { wallMs: () => nowMs, monotonicMs: () => nowMs };
    const { log, parsed } = capture({ clock });
    for (let i = 0; i < 250; i++) log.warn({ code: 'TRELLIS_USAGE' }, 'flood');
    for (let i = 0; i < 5; i++) log.warn({ code: 'TRELLIS_INTERNAL' }, 'other');
    expect(parsed().filter((line) => line['msg'] === 'flood')).toHaveLength(60);
    expect(parsed().filter((line) => line['msg'] === 'other')).toHaveLength(3);
    nowMs = 1_001;
    log.warn({ code: 'TRELLIS_USAGE' }, 'flood');
    const summary = parsed().find((line) => line['suppressed'] !== undefined);
    expect(summary).toMatchObject({ code: 'TRELLIS_USAGE', suppressed: 190 });
    expect(parsed().filter((line) => line['msg'] === 'flood')).toHaveLength(61);
  });

  it('takes values that cannot be serialised', () => {
    const { log, parsed } = capture();
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    log.info({ loop, big: 10n, nothing: undefined }, 'odd');
    expect(parsed()[0]).toMatchObject({ msg: 'odd' });
  });

  it('writes nothing below its level', () => {
    const { log, lines } = capture({ level: 'warn' });
    log.info('quiet');
    expect(log.enabled('info')).toBe(false);
    expect(lines).toEqual([]);
  });
});
