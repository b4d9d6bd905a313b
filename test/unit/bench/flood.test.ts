import { describe, expect, it } from 'vitest';
import { forgeries } from '../../../src/bench/flood-forgeries.ts';
import { FLOOD_ROWS, missedTargets, recoveredAfterMs, type FloodFigures } from '../../../src/bench/flood-rows.ts';
import { wireBytes, type WireMessage } from '../../../src/bench/flood-wire.ts';
import { floodLines } from '../../../src/cli/commands/bench-flood.ts';
import { encodeHeaders } from '../../../src/nats/headers.ts';
import { CALL, createTrustWorld, messageOf, run, signCalls, type SignedCall } from '../../support/trust.ts';

const figures = (changes: Partial<FloodFigures> = {}): FloodFigures => ({
  ...FLOOD_ROWS[0]!,
  offered: 1_000,
  floodSent: 2_000,
  validAlone: 1_000,
  validControl: 1_000,
  validFlood: 905,
  lostToControl: 9.5,
  lostToAlone: 9.5,
  failures: {},
  p99AloneMs: 5,
  p99ControlMs: 6,
  p99FloodMs: 7,
  recoveryMs: 250,
  hostCpuControl: 20,
  hostCpuFlood: 30,
  hostCpuUsPerMessage: 50,
  rssGrowthBytes: 1e6,
  logLinesPerSecond: 99,
  codes: [],
  ...changes,
});

describe('a row of the flood benchmark', () => {
  it('passes at its bounds and says what it missed beyond them', () => {
    expect(missedTargets(figures())).toEqual([]);
    expect(missedTargets(figures({ lostToControl: 10.1 }))).toEqual(['lost > 10 %']);
    expect(missedTargets(figures({ recoveryMs: undefined }))).toEqual(['recovery > 5 s']);
    expect(missedTargets(figures({ recoveryMs: 5_001, rssGrowthBytes: 70e6, logLinesPerSecond: 101 }))).toEqual([
      'recovery > 5 s',
      'memory > 64 MB',
      'log > 100 lines/s',
    ]);
  });

  it('counts as missed when the attacker could not send', () => {
    expect(missedTargets(figures({ floodSent: 1_700 }))).toEqual(['not all was sent']);
  });

  it('stands in the table with its verdict and its failures', () => {
    const lines = floodLines({
      machine: { cpu: 'Some CPU', cores: 2, memoryBytes: 8e9, platform: 'linux x64' },
      versions: { node: '26.10.0', natsServer: '2.14.0', form: 'build' },
      capacity: 2_000,
      rows: [figures(), figures({ lostToControl: 40, failures: { TRELLIS_INVOKE_BUSY: 3 } })],
    });
    expect(lines.filter((line) => line.startsWith('bad-2k'))).toEqual([
      expect.stringMatching(/passed$/),
      expect.stringMatching(/MISSED: lost > 10 %$/),
      'bad-2k: failed {"TRELLIS_INVOKE_BUSY":3}',
    ]);
  });
});

describe('the recovery after a flood', () => {
  const samples = (...ok: number[]) => ok.map((each) => ({ ok: each, elapsedMs: 250 }));

  it('is when a whole second begins that made 95 %', () => {
    expect(recoveredAfterMs(samples(250, 250, 250, 250), 1_000)).toBe(0);
    expect(recoveredAfterMs(samples(0, 200, 240, 240, 240, 240), 1_000)).toBe(500);
  });

  it('is not known of less than a second', () => {
    expect(recoveredAfterMs(samples(0, 250, 250, 250), 1_000)).toBeUndefined();
    expect(recoveredAfterMs([], 1_000)).toBeUndefined();
  });
});

describe('forgeries', () => {
  const world = createTrustWorld();
  const wireOf = ({ token }: SignedCall): WireMessage => ({
    subject: CALL.subject,
    reply: CALL.reply,
    headers: Buffer.from(encodeHeaders({ entries: [['Lattice-Invocation', token]] })!),
    payload: CALL.params,
  });
  const received = ({ headers, reply, payload }: WireMessage) => ({
    ...messageOf(/\r\nLattice-Invocation: ([^\r]*)/.exec(headers.toString())?.[1], payload),
    reply,
  });
  const codes = (messages: readonly WireMessage[]) => [...new Set(messages.map((message) => run(world, received(message))))];

  it.each([
    ['alone', 1],
    ['in a batch', 16],
  ])('of tokens signed %s get as far as they can', (_form, batch) => {
    const genuine = signCalls(world.signer, batch).map(wireOf);
    const nowMs = world.clock.wallMs();
    expect(codes(forgeries('bad-signature', genuine, 40, nowMs))).toEqual(['TRELLIS_VERIFY_SIGNATURE']);
    expect(codes(forgeries('unknown-issuer', genuine, 40, nowMs))).toEqual(['TRELLIS_VERIFY_ISSUER']);
    for (const code of codes(forgeries('garbage', genuine, 40, nowMs)))
      expect(code).toMatch(/TRELLIS_VERIFY_(?:UNSIGNED|MALFORMED|FORM)$/);
    expect(codes(genuine)).toEqual(['ran']);
    expect(codes(forgeries('replay', genuine, 40, nowMs))).toEqual(['TRELLIS_VERIFY_REPLAYED']);
  });

  it('are sent as the protocol says', () => {
    const [message] = [wireOf(signCalls(world.signer, 1)[0]!)];
    const text = wireBytes(message).toString();
    const { headers, payload } = message;
    expect(
      text.startsWith(`HPUB ${CALL.subject} ${CALL.reply} ${headers.length} ${headers.length + payload.length}\r\nNATS/1.0`),
    ).toBe(true);
    expect(wireBytes({ ...message, headers: Buffer.alloc(0) }).toString()).toBe(
      `PUB ${CALL.subject} ${CALL.reply} ${payload.length}\r\n${payload.toString()}\r\n`,
    );
  });
});
