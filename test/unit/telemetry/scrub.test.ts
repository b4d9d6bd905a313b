import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { REDACTED, Scrubber, visible } from '../../../src/telemetry/scrub.ts';

const SEED = `SUA${'B'.repeat(55)}`;

/** Every UTF-16 unit, also lone surrogates; the library's own binary strings take seconds to set up. */
const anyText = fc.array(fc.nat({ max: 0xffff }), { maxLength: 60 }).map((units) => String.fromCharCode(...units));

describe('Scrubber', () => {
  it('removes seeds, tokens and creds blocks that nobody registered', () => {
    const scrubber = new Scrubber();
    const token = `eyJ0eXAiOiJKV1Qi.${'a'.repeat(40)}.${'b'.repeat(40)}`;
    expect(scrubber.scrub(`seed ${SEED}, token ${token}.`)).toBe(`seed ${REDACTED}, token ${REDACTED}.`);
    const creds = `-----BEGIN USER NKEY SEED-----\n${SEED}\n------END USER NKEY SEED------`;
    expect(scrubber.scrub(`x ${creds} y`)).not.toContain('SUAB');
    expect(scrubber.scrub('-----BEGIN PRIVATE KEY-----\\nMIIabc')).not.toContain('MIIabc');
  });

  it('finds a seed by its shape, plain and in base64, and keeps none', () => {
    const scrubber = new Scrubber();
    scrubber.register(`${SEED}\n`);
    for (const text of [SEED, `${SEED}\n`]) {
      const base64 = Buffer.from(text).toString('base64');
      expect(scrubber.scrub(`a ${base64} b`)).not.toContain(base64.slice(0, 70));
    }
    expect(scrubber.scrub(`x ${SEED} y`)).toBe(`x ${REDACTED} y`);
    const harmless = `U0${'A'.repeat(76)}`;
    expect(scrubber.scrub(harmless)).toBe(harmless);
  });

  it('leaves public keys alone', () => {
    const issuer = `C${'B'.repeat(55)}`;
    expect(new Scrubber().scrub(issuer)).toBe(issuer);
  });

  it('removes a registered secret in whatever line, plain, escaped or base64', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 12, maxLength: 40 }), fc.string(), (secret, around) => {
        fc.pre(
          secret.trim().length >= 8 &&
            !/[\r\n]/.test(secret) &&
            !secret.trim().startsWith('-----') &&
            !around.includes(secret.trim()),
        );
        const text = secret.trim();
        fc.pre(!REDACTED.includes(text));
        const scrubber = new Scrubber();
        scrubber.register(secret);
        expect(scrubber.scrub(`${around}|${text}|${around}`)).not.toContain(text);
        expect(JSON.parse(scrubber.scrub(JSON.stringify({ text })))).toEqual({ text: REDACTED });
        expect(scrubber.scrub(Buffer.from(text).toString('base64'))).not.toContain(
          Buffer.from(text).toString('base64').slice(0, -3),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('registers each line of a file and ignores what is too short to be a secret', () => {
    const scrubber = new Scrubber();
    scrubber.register('-----BEGIN X-----\nabcdefghij\nabc\n------END X------');
    expect(scrubber.scrub('abcdefghij abc')).toBe(`${REDACTED} abc`);
  });
});

describe('visible', () => {
  it('LEK-07 leaves one line without control characters', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        // eslint-disable-next-line no-control-regex
        expect(visible(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202e]/);
      }),
      { numRuns: 200 },
    );
    expect(visible('a\r\nb\u001b[2Jc\u202e')).toBe('a\\r\\nb\\u001b[2Jc\\u202e');
  });
});
