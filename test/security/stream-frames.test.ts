import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sampleComponents } from '../../src/development.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { CallerInTheMiddle, type Middle, type Passing } from '../support/man-in-the-middle.ts';
import { bytes, RawPeer, until } from '../support/raw-peer.ts';
import { leb, sized } from '../support/running-component.ts';

const MIB = 1024 * 1024;
const isFrame = (message: Passing): boolean => message.headers.some(([name]) => name === 'Lattice-Frame');
const isEnd = (message: Passing): boolean => message.payload.length === 0;

/** Lets everything through but frames, which it hands to `each` with their number on their subject. */
const onFrames = (each: (frame: Passing, at: number, pass: (frame: Passing) => void) => void): Middle => {
  const seen = new Map<string, number>();
  return (message, pass) => {
    if (!isFrame(message)) return pass(message);
    const at = seen.get(message.subject) ?? 0;
    seen.set(message.subject, at + 1);
    each(message, at, pass);
  };
};

/** What somebody on the way can do to frames; the second of several is the one it happens to. */
const ATTACKS: readonly (readonly [string, () => Middle])[] = [
  [
    'FRM-11 altered',
    () =>
      onFrames((frame, at, pass) =>
        pass(at === 1 ? { ...frame, payload: frame.payload.map((b, i) => (i === frame.payload.length - 1 ? b ^ 1 : b)) } : frame),
      ),
  ],
  ['FRM-07 dropped', () => onFrames((frame, at, pass) => (at === 1 ? undefined : pass(frame)))],
  [
    'FRM-09 moved behind the next',
    () => {
      let held: Passing | undefined;
      return onFrames((frame, at, pass) => {
        if (at === 1) held = frame;
        else {
          pass(frame);
          if (at === 2) pass(held!);
        }
      });
    },
  ],
  [
    'FRM-11 cut short',
    () => onFrames((frame, at, pass) => pass(at === 1 ? { ...frame, payload: frame.payload.subarray(0, -1) } : frame)),
  ],
  ['FRM-10 stripped of its proof', () => onFrames((frame, at, pass) => pass(at === 1 ? { ...frame, headers: [] } : frame))],
  [
    'FRM-10 moved to another path',
    () => onFrames((frame, at, pass) => pass(at === 1 ? { ...frame, subject: `${frame.subject}.1` } : frame)),
  ],
];

describe('frames of streams under enforce, with somebody on the wire', () => {
  let test: TestLattice;
  let caller: CallerInTheMiddle;
  beforeAll(async () => {
    test = await startTestLattice({
      limits: { maxExecutionTimeMs: 12_000, maxParamsBytes: MIB / 2, maxResultBytes: MIB / 4 },
      components: sampleComponents().filter(({ id }) => id.startsWith('echo')),
      links: [],
    });
    caller = new CallerInTheMiddle(test);
  });
  beforeEach(() => {
    caller.middle.incoming = (message, pass) => pass(message);
    caller.middle.outgoing = (message, pass) => pass(message);
  });
  afterAll(() => test[Symbol.asyncDispose]());

  const chunks = ['one ', 'two ', 'three '].map((text) => sized(text));
  const params = { func: 'count-bytes', params: bytes('00'), frames: [...chunks, bytes('00')] };
  const echoed = { func: 'echo-bytes', params: bytes('00'), frames: [...chunks, bytes('00')], awaited: '0' };
  const whole = Buffer.concat([...chunks, bytes('00')]);
  const ended = (func: string): Record<string, unknown> | undefined =>
    test.logged.findLast(({ outcome, operation }) => outcome !== undefined && String(operation).endsWith(func));
  const idle = (): Promise<void> => until('nothing is in flight', () => test.lattice.host.status().inFlight === 0);

  it('arrive whole when nobody does anything, and the bytes are those that 1.x would see', async () => {
    const seen: Passing[] = [];
    caller.middle.incoming = (message, pass) => {
      seen.push(message);
      pass(message);
    };
    const outcome = await caller.call(echoed);
    expect(outcome).not.toHaveProperty('code');
    expect(outcome.paths.get('0')!.content.equals(whole)).toBe(true);
    const frames = seen.filter((message) => message.subject.endsWith('.results.0'));
    expect(Buffer.concat(frames.map(({ payload }) => payload)).equals(whole)).toBe(true);
    expect(frames.every(isFrame)).toBe(true);
  });

  it.each(ATTACKS)(
    '%s on the way to the guest: the call ends with an error and the guest has seen nothing of it',
    async (_name, attack) => {
      caller.middle.outgoing = attack();
      expect(await caller.call(params)).toMatchObject({ code: 'TRELLIS_VERIFY_FRAME' });
      await idle();
      expect(ended('count-bytes')).toMatchObject({ outcome: 'denied', code: 'TRELLIS_VERIFY_FRAME' });
      caller.middle.outgoing = attack();
      const { paths, code } = await caller.call(echoed);
      expect(code).toBe('TRELLIS_VERIFY_FRAME');
      // Whatever came back of it is a beginning of what was sent.
      const content = paths.get('0')?.content ?? Buffer.alloc(0);
      expect(whole.subarray(0, content.length).equals(content)).toBe(true);
      expect(content.length).toBeLessThanOrEqual(chunks[0]!.length);
    },
  );

  it.each(ATTACKS)(
    '%s on the way back: the call ends with an error after a beginning of what was sent',
    async (_name, attack) => {
      caller.middle.incoming = attack();
      const { paths, code } = await caller.call(echoed);
      expect(code).toBe('TRELLIS_VERIFY_FRAME');
      const content = paths.get('0')?.content ?? Buffer.alloc(0);
      expect(whole.subarray(0, content.length).equals(content)).toBe(true);
      expect(paths.get('0')?.ended ?? false).toBe(false);
    },
  );

  it('FRM-07 a stream whose end is kept back is an error at the deadline, either way, and never a short success', async () => {
    const noEnd = onFrames((frame, _at, pass) => (isEnd(frame) || frame.payload.at(-1) === 0 ? undefined : pass(frame)));
    caller.middle.outgoing = noEnd;
    expect(await caller.call({ ...params, timeoutMs: 500 })).toMatchObject({ code: 'TRELLIS_INVOKE_TIMEOUT' });
    caller.middle.outgoing = (message, pass) => pass(message);
    caller.middle.incoming = noEnd;
    const { code, paths } = await caller.call({ ...echoed, timeoutMs: 500 });
    expect(code).toBe('TRELLIS_INVOKE_TIMEOUT');
    expect(paths.get('0')?.ended ?? false).toBe(false);
  });

  it('FRM-08 every frame three times: each counts once, and the call is well', async () => {
    const thrice = onFrames((frame, _at, pass) => [frame, frame, frame].forEach(pass));
    caller.middle.outgoing = thrice;
    caller.middle.incoming = thrice;
    const before = await caller.dropped();
    const outcome = await caller.call(echoed);
    expect(outcome).not.toHaveProperty('code');
    expect(outcome.paths.get('0')!.content.equals(whole)).toBe(true);
    // Those behind the last one come when nobody listens any more.
    expect(await caller.dropped()).toBeGreaterThanOrEqual(before + 2);
  });

  it('FRM-10 frames of another call, genuine in it, count for nothing', async () => {
    const stolen: Passing[] = [];
    caller.middle.incoming = (message, pass) => {
      if (isFrame(message)) stolen.push(message);
      pass(message);
    };
    await caller.call({ ...echoed, frames: [sized('evil evil '), bytes('00')] });
    expect(stolen.length).toBeGreaterThan(0);
    let done = false;
    caller.middle.incoming = (message, pass) => {
      if (isFrame(message) && !done) {
        done = true;
        for (const frame of stolen) pass({ ...frame, subject: message.subject });
      }
      pass(message);
    };
    const outcome = await caller.call(echoed);
    expect(outcome.paths.get('0')!.content.equals(whole)).toBe(true);
  });

  it('FRM-10 ten thousand made-up frames reach no guest and no caller, and end nothing', async () => {
    await using peer = await RawPeer.connect(test.lattice.server.url);
    const forged = [
      '',
      '0.AAAAAAAAAAAAAAAAAAAAAA',
      '1.AAAAAAAAAAAAAAAAAAAAAA',
      '9007199254740991.AAAAAAAAAAAAAAAAAAAAAA',
      '01.x',
    ];
    const flood = (inbox: string): void => {
      for (let i = 0; i < 5_000; i++) {
        const tag = forged[i % forged.length]!;
        const headers = tag === '' ? [] : [['Lattice-Frame', tag] as const];
        peer.publish(inbox + (i % 3 === 0 ? '.1' : '.0'), i % 7 === 0 ? Buffer.alloc(0) : sized('evil'), headers);
      }
    };
    let [toCaller, toHost] = [0, 0];
    caller.middle.incoming = (message, pass) => {
      if (message.headers.some(([name]) => name === 'Lattice-Accept') && toCaller++ === 0) {
        flood(`${message.subject}.results`);
        flood(`${message.reply}.params`);
      }
      pass(message);
    };
    caller.middle.outgoing = (message, pass) => {
      // The caller's own frames come when the host has seen the flood.
      if (!isFrame(message)) pass(message);
      else void peer.connection.flush().then(() => pass(message));
      toHost++;
    };
    const before = await test.metric('trellis_denials_total', 'code="TRELLIS_VERIFY_FRAME"');
    const outcome = await caller.call({ ...echoed, timeoutMs: 20_000 });
    expect(outcome).not.toHaveProperty('code');
    expect(outcome.paths.get('0')!.content.equals(whole)).toBe(true);
    expect(toHost).toBeGreaterThan(0);
    const after = await test.metric('trellis_denials_total', 'code="TRELLIS_VERIFY_FRAME"');
    expect(after - before).toBeGreaterThanOrEqual(4_900);
    expect(await caller.dropped()).toBeGreaterThan(0);
  });

  it('FRM-08 a made-up answer in one message, before the genuine one, takes no stream from the call', async () => {
    caller.middle.incoming = (message, pass) => {
      if (message.headers.some(([name]) => name === 'Lattice-Accept')) pass({ ...message, reply: '', headers: [] });
      pass(message);
    };
    const outcome = await caller.call(echoed);
    expect(outcome).not.toHaveProperty('code');
    expect(outcome.paths.get('0')!.content.equals(whole)).toBe(true);
  });

  it('FRM-11 an accept with another key for the session is no accept', async () => {
    caller.middle.incoming = (message, pass) => {
      const headers = message.headers.map(([name, value]): [string, string] => {
        if (name !== 'Lattice-Accept') return [name, value];
        const [head, claims, proof] = value.split('.') as [string, string, string];
        const text = Buffer.from(claims, 'base64url')
          .toString()
          .replace(/"epk":"[^"]+"/, `"epk":"${'A'.repeat(43)}"`);
        return [name, `${head}.${Buffer.from(text).toString('base64url')}.${proof}`];
      });
      pass({ ...message, headers });
    };
    expect(await caller.call({ ...params, timeoutMs: 1_500 })).toMatchObject({ code: 'TRELLIS_INVOKE_UNAUTHENTICATED' });
  });

  it('FRM-11 a request with another key for the session is not run', async () => {
    const runs = test.runs('echo-streams');
    caller.middle.outgoing = (message, pass) =>
      pass({
        ...message,
        headers: message.headers.map(([name, value]) => {
          if (name !== 'Lattice-Invocation') return [name, value];
          const [head, claims, proof] = value.split('.') as [string, string, string];
          const text = Buffer.from(claims, 'base64url')
            .toString()
            .replace(/,"epk":"[^"]+"/, '');
          return [name, `${head}.${Buffer.from(text).toString('base64url')}.${proof}`];
        }),
      });
    expect(await caller.call(params)).toMatchObject({ code: 'TRELLIS_INVOKE_DENIED' });
    expect(test.runs('echo-streams')).toBe(runs);
  });

  it('FRM-07 a server that breaks off says so, signed; an unsigned refusal after the root ends nothing', async () => {
    let pid = 0;
    await using peer = await RawPeer.connect(test.lattice.server.url);
    caller.middle.incoming = (message, pass) => {
      pass(message);
      if (!message.subject.endsWith('.results') || !isEnd(message)) return;
      // The root is there. A stranger refuses; then the runner dies.
      peer.refuse(message.subject.slice(0, -'.results'.length), 500, 'component failed');
      void peer.connection.flush().then(() => {
        pid = test.lattice.host.status().components.find(({ id }) => id === 'echo-streams')!.pids[0]!;
        process.kill(pid, 'SIGKILL');
      });
    };
    const outcome = await caller.call({ ...echoed, frames: [chunks[0]!], unended: true });
    expect(pid).toBeGreaterThan(0);
    expect(outcome.root?.toString('hex')).toBe('00');
    expect(outcome.code).toMatch(/^TRELLIS_INVOKE_(?:FAILED|TRAP)$/);
    await idle();
    await until('the runner is back', async () => (await caller.call(params).then(({ root }) => root?.[0])) === whole.length - 4);
  });

  it('FRM-13 an endless stream meets its limit, either way', async () => {
    const big = sized(Buffer.alloc(50_000));
    const { code } = await caller.call({
      ...params,
      frames: [...Array<Uint8Array>(20).fill(big), bytes('00')],
      timeoutMs: 10_000,
    });
    expect(code).toBe('TRELLIS_PATH_TOO_LARGE');
    const made = await caller.call({ func: 'make-bytes', params: leb(2 ** 31), awaited: '0', timeoutMs: 10_000 });
    expect(made.code).toBe('TRELLIS_PATH_TOO_LARGE');
    expect(made.paths.get('0')!.content.length).toBeLessThanOrEqual(MIB / 4);
    await idle();
  });

  it('FRM-15 ten thousand calls given up in the middle of a stream, or before anybody answered, leave nothing open', async () => {
    const first = test.logged.length;
    const given = { ...echoed, frames: [chunks[0]!], unended: true, giveUpAfter: 1, timeoutMs: 20_000 } as const;
    for (let round = 0; round < 400; round++) await Promise.all(Array.from({ length: 25 }, () => caller.call(given)));
    expect(caller.invoker.inFlight).toBe(0);
    await idle();
    const calls = Array.from({ length: 50 }, () => caller.begin({ ...params, frames: [chunks[0]!], unended: true }));
    setTimeout(() => calls.forEach((call) => call.cancel()));
    await until('all were begun', () => ended('count-bytes')?.['outcome'] === 'bad-params');
    await idle();
    // Long before the deadline: the streams were broken off, with proof, and not left open.
    const timeouts = test.logged.slice(first).filter((line) => line['outcome'] === 'timeout');
    expect(timeouts).toEqual([]);
    expect((await caller.call(params)).root?.[0]).toBe(whole.length - 4);
  });

  it('FRM-14 streams that pile up and do not end hold no more than their share', async () => {
    const before = process.memoryUsage().rss;
    const big = sized(Buffer.alloc(25_000));
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, () =>
        caller.call({ ...params, frames: Array<Uint8Array>(18).fill(big), unended: true, timeoutMs: 600 }),
      ),
    );
    expect(outcomes.map(({ code }) => code)).toEqual(Array(8).fill('TRELLIS_INVOKE_TIMEOUT'));
    await idle();
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MIB);
  });
});
