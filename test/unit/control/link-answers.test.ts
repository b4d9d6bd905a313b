import fc from 'fast-check';
import { expect, it } from 'vitest';
import { linkAnswer } from '../../../src/control/interface/link-answers.ts';
import { encodeOutcome, ENVELOPE_BYTES } from '../../../src/control/interface/outcome.ts';
import { readReply } from '../../../src/lattice/control-replies.ts';
import { readLinkQuery } from '../../../src/lattice/link-query.ts';
import type { LatticeLink } from '../../../src/lattice/links.ts';

const linkFrom = (source_id: string, name: string): LatticeLink => ({
  source_id,
  target: 'store',
  name,
  wit_namespace: 'wasi',
  wit_package: 'keyvalue',
  interfaces: ['store'],
  source_config: [],
  target_config: [],
});

/** Sources with one to four links each, in any order. Some stand with another source than their own. */
const sourcesArbitrary = fc
  .dictionary(
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.array(fc.string({ maxLength: 40 }), { minLength: 1, maxLength: 4 }),
  )
  .map((names) => new Map(Object.entries(names).map(([id, all]) => [id, all.map((name) => linkFrom(`${id}!`, name))] as const)));

const textOf = (...args: Parameters<typeof linkAnswer>): string =>
  Buffer.from(encodeOutcome(linkAnswer(...args))).toString('utf8');
const all = (sources: ReadonlyMap<string, readonly LatticeLink[]>): LatticeLink[] => [...sources.values()].flat();

it('is every link at once for who asks as 1.x does, to the byte, also when one source has changed since', () => {
  fc.assert(
    fc.property(sourcesArbitrary, (sources) => {
      const expected = (now: typeof sources): string => JSON.stringify({ success: true, message: '', response: all(now) });
      for (let twice = 0; twice < 2; twice++) expect(textOf(sources, {}, 0)).toBe(expected(sources));
      const changed = new Map(sources).set('changed', [linkFrom('changed', 'now')]);
      expect(textOf(changed, {}, 0)).toBe(expected(changed));
    }),
  );
});

it('is every source once, in parts that fit, for who asks for one after the other', () => {
  fc.assert(
    fc.property(sourcesArbitrary, fc.integer({ min: 0, max: 2_000 }), (sources, roomBytes) => {
      const maxPayloadBytes = ENVELOPE_BYTES + roomBytes;
      const ask = (after: string): string =>
        textOf(sources, readLinkQuery(Buffer.from(JSON.stringify({ after }))), maxPayloadBytes);
      const links: LatticeLink[] = [];
      let after: string | null | undefined = '';
      while (typeof after === 'string') {
        const body: Buffer = Buffer.from(ask(after));
        const { response = [], next } = readReply(body, (value) => value as LatticeLink[])!;
        expect(body.length <= maxPayloadBytes || new Set(response.map(({ source_id }) => source_id)).size <= 1).toBe(true);
        expect(next === null || (next !== undefined && next > after)).toBe(true);
        links.push(...response);
        after = next;
      }
      // The id of nothing comes after nothing: no component can have it.
      const named = new Map([...sources].filter(([id]) => id !== '').toSorted(([a], [b]) => (a < b ? -1 : 1)));
      expect(links).toEqual(all(named));
    }),
  );
});

it('takes everything that is no query for the question of 1.x', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((text) => Buffer.from(text)),
      ),
      (body) => {
        const { after } = readLinkQuery(body);
        expect(after === undefined || typeof after === 'string').toBe(true);
      },
    ),
  );
  for (const body of ['', 'x', '[]', '{}', '{"after":7}', `{"after":"${'a'.repeat(5_000)}"}`])
    expect(readLinkQuery(Buffer.from(body))).toEqual({});
});
