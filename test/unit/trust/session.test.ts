import { createCipheriv, hkdfSync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EphemeralKey, FrameSession, MAX_FRAME_TAG_CHARS } from '../../../src/trust/session.ts';
import { acceptDigest, requestDigest } from '../../../src/trust/token.ts';
import { anyText } from '../../support/texts.ts';

const EMPTY = new Uint8Array(0);

/** Both ends of a call. */
function session(request = 'request', accept = 'accept'): { caller: FrameSession; server: FrameSession } {
  const [ours, theirs] = [new EphemeralKey(), new EphemeralKey()];
  const digests = [requestDigest(request), acceptDigest(accept)] as const;
  return {
    caller: new FrameSession('caller', ours.agree(theirs.text)!, ...digests),
    server: new FrameSession('server', theirs.agree(ours.text)!, ...digests),
  };
}

const frames = fc.array(
  fc.record({ path: fc.constantFrom('0', '1', '0.1', '12.0.3'), bytes: fc.uint8Array({ maxLength: 40 }) }),
  { minLength: 1, maxLength: 12 },
);

describe('an ephemeral key', () => {
  it('is agreed upon by both, and by nobody else', () => {
    const [a, b, c] = [new EphemeralKey(), new EphemeralKey(), new EphemeralKey()];
    expect(a.text).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(a.agree(b.text)!.equals(b.agree(a.text)!)).toBe(true);
    expect(a.agree(b.text)!.equals(c.agree(b.text)!)).toBe(false);
  });

  it.each([
    ['nothing', ''],
    ['too short', 'AAAA'],
    ['of low order: zero', Buffer.alloc(32).toString('base64url')],
    ['of low order: one', Buffer.from([1, ...Array<number>(31).fill(0)]).toString('base64url')],
    ['of order eight', 'X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEdc'],
  ])('refuses one that is %s', (_, text) => {
    expect(new EphemeralKey().agree(text)).toBeUndefined();
  });

  it('never throws, whatever the peer says', () => {
    const own = new EphemeralKey();
    fc.assert(
      fc.property(fc.oneof(anyText(60), fc.base64String()), (text) => {
        const secret = own.agree(text);
        return secret === undefined || secret.length === 32;
      }),
    );
  });
});

describe('frames of a session', () => {
  it('open on the other side, in their order, both ways', () => {
    fc.assert(
      fc.property(frames, (list) => {
        const { caller, server } = session();
        for (const { path, bytes } of list) {
          const tag = caller.seal(path, bytes);
          expect(tag.length).toBeLessThanOrEqual(MAX_FRAME_TAG_CHARS);
          expect(server.open(tag, path, bytes)).toBe('next');
          expect(caller.open(server.seal(path, bytes), path, bytes)).toBe('next');
        }
      }),
    );
  });

  it('FRM-08 FRM-09 a repeated one has been used, a later one shows the gap, and neither moves the session on', () => {
    fc.assert(
      fc.property(frames, fc.nat(), fc.integer({ min: 1, max: 5 }), (list, pick, skip) => {
        const { caller, server } = session();
        const sealed = [...list, ...Array<(typeof list)[0]>(skip).fill(list[0]!)].map((frame) => ({
          ...frame,
          tag: caller.seal(frame.path, frame.bytes),
        }));
        const at = pick % list.length;
        for (const { tag, path, bytes } of sealed.slice(0, at)) server.open(tag, path, bytes);
        const late = sealed[at + skip]!;
        expect(server.open(late.tag, late.path, late.bytes)).toBe('gap');
        for (const { tag, path, bytes } of sealed.slice(0, at)) expect(server.open(tag, path, bytes)).toBe('repeated');
        const next = sealed[at]!;
        expect(server.open(next.tag, next.path, next.bytes)).toBe('next');
      }),
    );
  });

  it('FRM-10 FRM-11 nothing altered, moved or made up opens, and the genuine one still does', () => {
    const change = fc.constantFrom('byte', 'cut', 'more', 'path', 'end', 'tag', 'sequence', 'none');
    fc.assert(
      fc.property(frames, fc.nat(), change, fc.nat(), (list, pick, what, at) => {
        const { caller, server } = session();
        const sealed = list.map((frame) => ({ ...frame, tag: caller.seal(frame.path, frame.bytes) }));
        const k = pick % list.length;
        for (const { tag, path, bytes } of sealed.slice(0, k)) server.open(tag, path, bytes);
        const { tag, path, bytes } = sealed[k]!;
        let changed: [string | undefined, string, Uint8Array] = [tag, path, bytes];
        if (what === 'byte' && bytes.length > 0)
          changed = [tag, path, bytes.map((b, i) => (i === at % bytes.length ? b ^ (1 << (at % 8)) : b))];
        else if (what === 'cut' && bytes.length > 0) changed = [tag, path, bytes.subarray(0, -1)];
        else if (what === 'more') changed = [tag, path, Uint8Array.of(...bytes, 0)];
        else if (what === 'end') changed = [tag, path, bytes.length === 0 ? Uint8Array.of(0) : EMPTY];
        else if (what === 'path') changed = [tag, `${path}.0`, bytes];
        else if (what === 'tag') changed = [tag.slice(0, -22) + (tag.at(-22) === 'A' ? 'B' : 'A') + tag.slice(-21), path, bytes];
        else if (what === 'sequence') changed = [`${k + 1}${tag.slice(String(k).length)}`, path, bytes];
        else changed = [undefined, path, bytes];
        expect(server.open(...changed)).toBe('foreign');
        expect(server.open(tag, path, bytes)).toBe('next');
      }),
    );
  });

  it('a frame of one direction, of another call or of another accept is foreign', () => {
    const { caller, server } = session();
    const tag = caller.seal('0', EMPTY);
    expect(caller.open(tag, '0', EMPTY)).toBe('foreign');
    expect(session().server.open(tag, '0', EMPTY)).toBe('foreign');
    const [ours, theirs] = [new EphemeralKey(), new EphemeralKey()];
    const secret = ours.agree(theirs.text)!;
    const sender = new FrameSession('caller', secret, requestDigest('a'), acceptDigest('b'));
    const sealed = sender.seal('0', EMPTY);
    for (const [request, accept] of [
      ['A', 'b'],
      ['a', 'B'],
      ['b', 'a'],
    ] as const) {
      const other = new FrameSession('server', secret, requestDigest(request), acceptDigest(accept));
      expect(other.open(sealed, '0', EMPTY)).toBe('foreign');
    }
    expect(server.open(tag, '0', EMPTY)).toBe('next');
  });

  it('a tag has one spelling, and reading one never throws', () => {
    const { caller, server } = session();
    const tag = caller.seal('0', EMPTY);
    // The last character of 16 bytes has four spare bits.
    const last = tag.at(-1)!;
    const spare = { A: 'B', Q: 'R', g: 'h', w: 'x' }[last]!;
    for (const other of [
      `0${tag}`,
      ` ${tag}`,
      `${tag}=`,
      tag.slice(0, -1) + spare,
      tag.replace('.', '.='),
      `-${tag}`,
      `${tag}\n`,
    ]) {
      expect(server.open(other, '0', EMPTY)).toBe('foreign');
    }
    fc.assert(fc.property(anyText(50), (text) => server.open(text, '0', EMPTY) === 'foreign'));
    expect(server.open(tag, '0', EMPTY)).toBe('next');
  });
});

describe('the wire form of frames', () => {
  const secret = Buffer.alloc(32, 7);
  const digests = [requestDigest('request'), acceptDigest('accept')] as const;

  /** GMAC over the frame as its definition says it, under a key derived as its definition says. */
  function tag(from: string, sequence: bigint, path: string, bytes: Uint8Array): string {
    const salt = Buffer.concat(digests.map((digest) => Buffer.from(digest, 'base64url')));
    const key = Buffer.from(hkdfSync('sha256', secret, salt, `wzt2 frames of the ${from}`, 32));
    const [nonce, pathLength, length] = [Buffer.alloc(12), Buffer.alloc(8), Buffer.alloc(8)];
    nonce.writeBigUInt64BE(sequence, 4);
    pathLength.writeBigUInt64BE(BigInt(path.length));
    length.writeBigUInt64BE(BigInt(bytes.length));
    const gcm = createCipheriv('aes-256-gcm', key, nonce);
    gcm.setAAD(Buffer.concat([Buffer.from('wzt2\0frame\0'), pathLength, Buffer.from(path), length, bytes]));
    gcm.final();
    return `${sequence}.${gcm.getAuthTag().toString('base64url')}`;
  }

  it.each(['caller', 'server'] as const)('of the %s is GMAC over label, path and bytes, with the sequence as nonce', (side) => {
    const session = new FrameSession(side, secret, ...digests);
    for (const [at, [path, bytes]] of [
      ['0', Buffer.from('abc')] as const,
      ['12.0.3', EMPTY] as const,
      ['', Buffer.alloc(70_000, 1)] as const,
    ].entries()) {
      expect(session.seal(path, bytes)).toBe(tag(side, BigInt(at), path, bytes));
    }
  });

  it('is pinned: another implementation must make the same', () => {
    const session = new FrameSession('caller', secret, ...digests);
    expect([session.seal('0', Buffer.from('abc')), session.seal('0', EMPTY)]).toEqual([
      '0.7cWzn5vLb9uz-6YubfXfqQ',
      '1.NLWuzHyyBhxXEsHOQN5D2Q',
    ]);
  });

  it('counts to 2^53-1 and no further', () => {
    const session = new FrameSession('server', secret, ...digests);
    const open = (sequence: bigint): string => session.open(tag('caller', sequence, '0', EMPTY), '0', EMPTY);
    expect(open(BigInt(Number.MAX_SAFE_INTEGER))).toBe('gap');
    expect(open(BigInt(Number.MAX_SAFE_INTEGER) + 1n)).toBe('foreign');
    expect(open(0n)).toBe('next');
    expect(open(0n)).toBe('repeated');
  });
});
