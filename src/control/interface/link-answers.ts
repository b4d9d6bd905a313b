import type { LinkQuery } from '../../lattice/link-query.ts';
import type { LatticeLink } from '../../lattice/links.ts';
import { ENVELOPE_BYTES, type Outcome } from './outcome.ts';

type Links = readonly LatticeLink[];
type Sources = ReadonlyMap<string, Links>;

const HEAD = Buffer.from('{"success":true,"message":"","response":[');
const COMMA = Buffer.from(',');

/**
 * What has been written: of all links, and of those of each source, so that a change costs what that source has. To write ten thousand
 * takes longer than everything else about the request.
 */
const answers = new WeakMap<Sources, Buffer>();
const written = new WeakMap<Links, Buffer>();

/**
 * The answer to `link.get`: all links of these sources, as hosts of 1.x answer; or a part of them, for who asked for one. A part has as
 * many sources as fit into a message, in the order of their ids, and its `next` is the last of them, or `null` if that was all. No
 * source is divided, so that no change between two questions makes its links half of before and half of after.
 */
export function linkAnswer(sources: Sources, { after }: LinkQuery, maxPayloadBytes: number): Outcome {
  if (after === undefined) return outcomeOf(allOf(sources));
  const part: Links[] = [];
  let [bytes, last] = [ENVELOPE_BYTES, after];
  for (const source of [...sources.keys()].filter((id) => id > after).toSorted()) {
    const links = sources.get(source)!;
    bytes += writtenOf(links).length + COMMA.length;
    // One that no message holds is answered by itself, for which the answer then says so.
    if (bytes > maxPayloadBytes && part.length > 0) return outcomeOf(join(part, `],"next":${JSON.stringify(last)}}`));
    part.push(links);
    last = source;
  }
  return outcomeOf(join(part, '],"next":null}'));
}

const outcomeOf = (encoded: Buffer): Outcome => ({ success: true, message: '', encoded });

function allOf(sources: Sources): Buffer {
  let bytes = answers.get(sources);
  if (bytes === undefined) answers.set(sources, (bytes = join([...sources.values()], ']}')));
  return bytes;
}

function join(lists: readonly Links[], tail: string): Buffer {
  const pieces = lists.flatMap((links, at) => (at === 0 ? [writtenOf(links)] : [COMMA, writtenOf(links)]));
  return Buffer.concat([HEAD, ...pieces, Buffer.from(tail)]);
}

/** The links of one source without the brackets around them. */
function writtenOf(links: Links): Buffer {
  let bytes = written.get(links);
  if (bytes === undefined) written.set(links, (bytes = Buffer.from(JSON.stringify(links).slice(1, -1))));
  return bytes;
}
