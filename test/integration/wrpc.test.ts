import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, headers as natsHeaders, type Msg, type NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectPartition, type LatticeConnection } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { type OutgoingCall, type OutgoingEvents, prepareCall } from '../../src/wrpc/client.ts';
import { createInbox, type Inbox } from '../../src/wrpc/inbox.ts';
import { type IncomingInvocation, serveFunction } from '../../src/wrpc/server.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { until } from '../support/until.ts';

const SUBJECT = 'default.comp-a.wrpc.0.0.1.ns:pkg/iface@1.0.0.func';
const EMPTY = new Uint8Array(0);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const unhex = (text: string): Uint8Array => Buffer.from(text, 'hex');

/** One message of a recorded trace between Rust peers. `Rc` and `Rs` stand for the inboxes of client and server. */
interface TraceMessage {
  from: 'client' | 'server' | 'broker';
  subject: string;
  reply?: string;
  hex: string;
}
interface Vectors {
  nats: { traces: { name: string; messages?: TraceMessage[] }[] };
}
const vectors = JSON.parse(readFileSync(new URL('../fixtures/wrpc-vectors.json', import.meta.url), 'utf8')) as Vectors;

let server: TestServer;
let bus: LatticeConnection;
let inbox: Inbox;
/** The peer: a plain client that sends exactly the messages it is told to. */
let raw: NatsConnection;
let calls: OutgoingCall[];

beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  bus = await connectPartition({
    partition: 'rpc',
    lattice: 'default',
    servers: [server.url],
    name: 'test',
    log: silentLogger(),
  });
  raw = await connect({ servers: server.url });
  inbox = createInbox(bus);
  calls = [];
});
afterEach(async () => {
  await bus.close();
  await raw.close();
});

/** Records the events of a call as text: `accepted`, `result  6869`, `end 0.1`, `refused 401 no`. */
class Recorder implements OutgoingEvents {
  readonly seen: string[] = [];
  allow = true;
  rs = '';
  accepted(_header: unknown, rs: string): boolean {
    this.rs = rs;
    this.seen.push('accepted');
    return this.allow;
  }
  unary(payload: Uint8Array, header: (name: string) => string | undefined): void {
    this.seen.push(`unary ${hex(payload)} ${header('Lattice-Result') ?? '-'}`);
  }
  refused(status: number, text: string): void {
    this.seen.push(`refused ${status} ${text}`);
  }
  lineEnding(): void {
    this.seen.push('line ending');
  }
  result(path: string, payload: Uint8Array, eof: boolean, header: (name: string) => string | undefined): void {
    this.seen.push(
      eof
        ? `end ${path}${header('Lattice-Result') === undefined ? '' : ` ${header('Lattice-Result')}`}`
        : `result ${path} ${hex(payload)}`,
    );
  }
}

function call(
  params: Uint8Array,
  o: { unary?: boolean; headers?: [string, string][]; subject?: string; recorder?: Recorder } = {},
): [OutgoingCall, Recorder] {
  const outgoing = prepareCall({ bus, inbox });
  const recorder = o.recorder ?? new Recorder();
  calls.push(outgoing);
  outgoing.send({ subject: o.subject ?? SUBJECT, params, headers: o.headers ?? [], unary: o.unary ?? false }, recorder);
  return [outgoing, recorder];
}

function serve(onInvocation: (invocation: IncomingInvocation) => void, subject = SUBJECT): Promise<void> {
  serveFunction({ bus, inbox, subject, queue: 'default.comp-a', onInvocation });
  return bus.flush();
}

/** What a plain subscriber saw: subject without the inbox, reply, payload, status. */
interface Seen {
  subject: string;
  reply: string;
  hex: string;
  size: number;
  status: number;
  description: string;
  header(name: string): string | undefined;
}
function record(subject: string, strip: string, onMessage?: (message: Msg) => void): Seen[] {
  const seen: Seen[] = [];
  raw.subscribe(subject, {
    callback: (_, message) => {
      seen.push({
        subject: message.subject.replace(strip, ''),
        reply: message.reply ?? '',
        hex: message.data.length <= 64 ? hex(message.data) : '…',
        size: message.data.length,
        status: message.headers?.code ?? 0,
        description: message.headers?.description ?? '',
        header: (name) => message.headers?.get(name),
      });
      onMessage?.(message);
    },
  });
  return seen;
}

describe('as a server, towards a recorded Rust client', () => {
  const traces = vectors.nats.traces.filter(
    ({ messages }) => messages?.some(({ from }) => from === 'client') && messages.some(({ from }) => from === 'server'),
  );

  it.each(traces)('$name', async ({ messages = [] }) => {
    const rc = '_INBOX.Bp6ZcQJMJhBIdjBNIFwhUP.Bp6ZcQJMJhBIdjBNIFwhVQ';
    const params: string[] = [];
    const last = messages.filter(({ from }) => from === 'client').length - 1;
    let invoked = 0;
    await serve((invocation) => {
      invoked++;
      params.push(` ${hex(invocation.payload)}`);
      invocation.onParams((path, payload, eof) => {
        params.push(eof ? `${path}.end` : `${path} ${hex(payload)}`);
        // The server's own recorded messages, through the methods that make them.
        if (params.length - 1 !== last) return;
        for (const { from, subject, hex: payload } of messages) {
          if (from !== 'server' || subject === 'Rc') continue;
          const path = subject.slice('Rc.results'.length).replace('.', '');
          // Empties on paths that only lead elsewhere are Rust's choice; Trellis sends none.
          if (payload === '') {
            if (path === '') invocation.sendRoot(EMPTY);
            else invocation.sendPath(path, EMPTY, true);
          } else {
            invocation.sendPath(path, unhex(payload), false);
          }
        }
      });
      invocation.accept();
    });
    const seen = record(`${rc}.>`, rc);
    let rs = '';
    record(rc, rc, ({ reply }) => {
      rs = reply ?? '';
    });
    await raw.flush();
    const clientMessages = messages.filter(({ from }) => from === 'client');
    raw.publish(SUBJECT, unhex(clientMessages[0]!.hex), { reply: rc });
    await until(() => rs !== '');
    for (const { subject, hex: payload } of clientMessages.slice(1)) raw.publish(subject.replace('Rs', rs), unhex(payload));
    const expected = messages.filter(({ from, subject }) => from === 'server' && subject !== 'Rc');
    await until(() => seen.length >= expected.length && params.length === clientMessages.length);
    expect(invoked).toBe(1);
    expect(seen.map(({ subject, hex: payload }) => `${subject} ${payload}`)).toEqual(
      expected.map(({ subject, hex: payload }) => `${subject.slice(2)} ${payload}`),
    );
    expect(params.slice(1)).toEqual(
      clientMessages.slice(1).map(({ subject, hex: payload }) => {
        const path = subject.slice('Rs.params'.length).replace('.', '');
        return payload === '' ? `${path}.end` : `${path} ${payload}`;
      }),
    );
  });
});

describe('as a client, towards a recorded Rust server', () => {
  const traces = vectors.nats.traces.filter(({ messages }) => messages?.some(({ from }) => from === 'server'));

  it.each(traces)('$name', async ({ messages = [] }) => {
    const rs = '_INBOX.kiJvmq5imsjcNvTKRVUDox.kiJvmq5imsjcNvTKRVUDtQ';
    const fromClient = messages.filter(({ from }) => from === 'client');
    const fromServer = messages.filter(({ from }) => from === 'server');
    const params = record(`${rs}.>`, rs);
    let first = '';
    record(SUBJECT, '', ({ data, reply, headers }) => {
      first = `${hex(data)} ${headers === undefined ? 'no headers' : 'headers'}`;
      for (const message of fromServer) {
        raw.publish(message.subject.replace('Rc', reply!), unhex(message.hex), message.reply === undefined ? {} : { reply: rs });
      }
    });
    await raw.flush();
    const [outgoing, { seen }] = call(unhex(fromClient[0]?.hex ?? ''));
    for (const { subject, hex: payload } of fromClient.slice(1)) {
      const path = subject.slice('Rs.params'.length).replace('.', '');
      if (path !== '') expect(outgoing.sendPath(path, unhex(payload), payload === '')).toBe(true);
    }
    const expectedParams = fromClient.length === 0 ? [{ subject: 'Rs.params', hex: '' }] : fromClient.slice(1);
    await until(() => seen.length >= fromServer.length && params.length >= expectedParams.length);
    expect(first).toBe(`${fromClient[0]?.hex ?? ''} no headers`);
    // The end of the root is always sent, even where the recorded caller's future trace leaves it out.
    const sent = params.map(({ subject, hex: payload }) => `Rs${subject} ${payload}`);
    const wanted = expectedParams.map(({ subject, hex: payload }) => `${subject} ${payload}`);
    if (!wanted.includes('Rs.params ')) wanted.unshift('Rs.params ');
    expect([...sent].sort()).toEqual([...wanted].sort());
    expect(seen).toEqual(
      fromServer.map(({ subject, hex: payload }) => {
        const path = subject.slice('Rc.results'.length).replace('.', '');
        if (subject === 'Rc') return 'accepted';
        return payload === '' ? `end ${path}` : `result ${path} ${payload}`;
      }),
    );
  });

  it('hears the broker say that nobody listens', async () => {
    const [, { seen }] = call(EMPTY, { subject: 'default.nobody.wrpc.0.0.1.run' });
    await until(() => seen.length > 0);
    expect(seen).toEqual(['refused 503 ']);
  });

  it('takes results before the acknowledgement, split values and a second end', async () => {
    record(SUBJECT, '', ({ reply }) => {
      for (const payload of ['02', '68', '69']) raw.publish(`${reply}.results`, unhex(payload));
      raw.publish(`${reply}.results`);
      raw.publish(reply!, EMPTY, { reply: '_INBOX.rs' });
      raw.publish(`${reply}.results`);
    });
    await raw.flush();
    const [, { seen }] = call(unhex('026869'));
    await until(() => seen.length === 6);
    expect(seen).toEqual(['result  02', 'result  68', 'result  69', 'end ', 'accepted', 'end ']);
  });

  it('repeats the end of the parameters until an answer comes, for Rust servers that lost the first', async () => {
    const rs = '_INBOX.rs.1';
    let rc = '';
    record(SUBJECT, '', ({ reply }) => {
      rc = reply!;
      raw.publish(rc, EMPTY, { reply: rs });
    });
    const ends = record(`${rs}.>`, rs, () => {
      if (ends.length === 3) raw.publish(`${rc}.results`, unhex('01'));
    });
    await raw.flush();
    const start = performance.now();
    const [, { seen }] = call(EMPTY);
    await until(() => seen.includes('result  01'));
    expect(performance.now() - start).toBeGreaterThan(250);
    await sleep(500);
    expect(ends.map(({ subject, size }) => `${subject} ${size}`)).toEqual(['.params 0', '.params 0', '.params 0']);
  });

  it('passes a refusal with its text on', async () => {
    record(SUBJECT, '', ({ reply }) => raw.publish(reply!, EMPTY, { headers: natsHeaders(401, 'unauthorized') }));
    await raw.flush();
    const [, { seen }] = call(EMPTY);
    await until(() => seen.length > 0);
    expect(seen).toEqual(['refused 401 unauthorized']);
  });

  it('drops what cannot be a frame or an inbox, and stays with the call', async () => {
    record(SUBJECT, '', ({ reply }) => {
      for (const tail of ['.results.x', '.results.-1', '.params', '.other', '.results.0.']) {
        if (!tail.endsWith('.')) raw.publish(reply! + tail, unhex('00'));
      }
      raw.publish(reply!, EMPTY, { reply: 'wasmbus.ctl.v1.default.host.stop.H' });
      raw.publish(`${reply}.results`, unhex('01'));
    });
    const stray = record('wasmbus.>', '');
    await raw.flush();
    const [, { seen }] = call(EMPTY);
    await until(() => seen.length > 0);
    await bus.flush();
    await raw.flush();
    expect(seen).toEqual(['result  01']);
    expect(stray).toEqual([]);
    expect(inbox.stats.malformed).toBe(5);
  });
});

describe('between Trellis peers', () => {
  it('a call is two messages when the result fits one', async () => {
    await serve((invocation) => {
      expect(invocation.unary).toBe(true);
      expect(invocation.header('source-id')).toBe('comp-b');
      expect(invocation.headerCount).toBe(2);
      expect(invocation.replyUnary(invocation.payload, { entries: [['Lattice-Result', 'proof']] })).toBe(true);
      invocation.close();
    });
    const before = bus.stats.messagesOut;
    const [, { seen }] = call(unhex('026869'), { unary: true, headers: [['source-id', 'comp-b']] });
    await until(() => seen.length > 0);
    expect(seen).toEqual(['unary 026869 proof']);
    expect(bus.stats.messagesOut - before).toBe(2);
  });

  it('the long form carries the proof on the end, and the same proof fits a result that does not fit one message', async () => {
    const big = Buffer.alloc(1_500_000, 7);
    await serve((invocation) => {
      const headers = { entries: [['Lattice-Result', 'proof']] as [string, string][] };
      expect(invocation.replyUnary(big, headers)).toBe(false);
      invocation.accept();
      invocation.sendRoot(big, headers);
      invocation.close();
    });
    let bytes = 0;
    const recorder = new Recorder();
    recorder.result = (_path, payload, eof, header) => {
      bytes += payload.length;
      if (eof) recorder.seen.push(`end ${header('Lattice-Result')}`);
    };
    call(EMPTY, { unary: true, recorder });
    await until(() => recorder.seen.includes('end proof'));
    expect(recorder.seen).toEqual(['accepted', 'end proof']);
    expect(bytes).toBe(big.length);
  });

  it('a list of 3,000,000 bytes travels in the pieces that Rust makes, both ways', async () => {
    const params = Buffer.alloc(3_000_004, 1);
    const got: Buffer[] = [];
    await serve((invocation) => {
      got.push(Buffer.from(invocation.payload));
      invocation.onParams((path, payload, eof) => {
        expect(path).toBe('');
        if (!eof) got.push(Buffer.from(payload));
        else invocation.sendRoot(Buffer.concat(got));
      });
      invocation.accept();
    });
    const sizes: number[] = [];
    const recorder = new Recorder();
    recorder.result = (_path, payload, eof) => (eof ? recorder.seen.push('end') : sizes.push(payload.length));
    const outgoing = prepareCall({ bus, inbox });
    outgoing.send({ subject: SUBJECT, params, headers: [['source-id', 'comp-a']], unary: false }, recorder);
    await until(() => recorder.seen.includes('end'));
    const first = 1_048_576 - outgoing.reply.length - 31;
    expect(got.map(({ length }) => length)).toEqual([first, 1_048_576, 3_000_004 - first - 1_048_576]);
    expect(sizes).toEqual([1_048_576, 1_048_576, 902_852]);
    expect(Buffer.concat(got).equals(params)).toBe(true);
  });

  it('a refusal carries its proof', async () => {
    await serve((invocation) => {
      invocation.refuse(401, 'invocation denied', { entries: [['Lattice-Result', 'proof']] });
      invocation.close();
    });
    const recorder = new Recorder();
    recorder.refused = (status: number, text: string, header?: (name: string) => string | undefined) => {
      recorder.seen.push(`${status} ${text} ${header?.('Lattice-Result')}`);
    };
    call(EMPTY, { unary: true, recorder });
    await until(() => recorder.seen.length > 0);
    expect(recorder.seen).toEqual(['401 invocation denied proof']);
  });

  it('parameters wait until the acknowledgement is believed; a second one changes nothing', async () => {
    const paths: string[] = [];
    let announced = '';
    await serve((invocation) => {
      invocation.onParams((path, payload, eof) => paths.push(eof ? `${path}.end` : `${path} ${hex(payload)}`));
      announced = invocation.inbox();
      invocation.accept({ entries: [['Lattice-Accept', 'proof']] });
    });
    const recorder = new Recorder();
    recorder.allow = false;
    const [outgoing] = call(unhex('01'), { recorder });
    expect(outgoing.sendPath('0', unhex('0161'), true)).toBe(true);
    expect(outgoing.sendPath('x', unhex('00'), false)).toBe(true);
    await until(() => recorder.seen.length > 0);
    await bus.flush();
    expect(recorder.rs).toBe(announced);
    expect(paths).toEqual([]);
    expect(outgoing.paramsAllowed).toBe(false);
    expect(outgoing.allowParams('default.x')).toBe(false);
    expect(outgoing.allowParams(announced)).toBe(true);
    expect(outgoing.allowParams(`${announced}x`)).toBe(false);
    expect(outgoing.sendPath('1', unhex('00'), false)).toBe(true);
    await until(() => paths.length === 4);
    expect(paths).toEqual(['.end', '0 0161', '0.end', '1 00']);
  });

  it('pending values wait for the acknowledgement in bounded room', async () => {
    await serve(() => {});
    const [outgoing] = call(EMPTY);
    const piece = new Uint8Array(1024 * 1024);
    expect([1, 2, 3, 4, 5].map(() => outgoing.sendPath('0', piece, false))).toEqual([true, true, true, true, false]);
  });

  it('a call given up before its acknowledgement still ends the parameters, so that a Rust server can go on', async () => {
    const paths: string[] = [];
    const arrived: IncomingInvocation[] = [];
    await serve((invocation) => {
      invocation.onParams((path, _payload, eof) => paths.push(`${path} ${eof}`));
      arrived.push(invocation);
    });
    const [outgoing, { seen }] = call(Buffer.alloc(2_000_000));
    await until(() => arrived.length === 1);
    outgoing.cancel();
    arrived[0]!.accept();
    await until(() => paths.length > 0);
    await bus.flush();
    expect(paths).toEqual([' true']);
    expect(seen).toEqual([]);
  });

  it('a server learns that nobody holds the caller’s inbox', async () => {
    let gone = 0;
    await serve((invocation) => {
      invocation.onGone(() => gone++);
      invocation.accept();
    });
    raw.publish(SUBJECT, EMPTY, { reply: '_INBOX.nobody.here' });
    await until(() => gone === 1);
  });

  it('a repeated end reaches the server once', async () => {
    let ends = 0;
    await serve((invocation) => {
      invocation.onParams((_path, _payload, eof) => (ends += eof ? 1 : 0));
      invocation.accept();
    });
    const recorder = new Recorder();
    call(EMPTY, { recorder });
    await until(() => recorder.rs !== '');
    for (let i = 0; i < 5; i++) raw.publish(`${recorder.rs}.params`);
    await raw.flush();
    await until(() => inbox.stats.late >= 5);
    expect(ends).toBe(1);
  });

  it('late messages are dropped and counted, and nothing is kept', async () => {
    const invocations: IncomingInvocation[] = [];
    await serve((invocation) => {
      invocations.push(invocation);
      invocation.accept();
    });
    const [outgoing, { seen }] = call(EMPTY);
    await until(() => seen.includes('accepted'));
    expect(inbox.size).toBe(2);
    outgoing.cancel();
    const [invocation] = invocations;
    invocation!.sendRoot(unhex('00'));
    await bus.flush();
    await until(() => inbox.stats.late >= 3);
    invocation!.close();
    expect(inbox.size).toBe(0);
    expect(seen).toEqual(['accepted']);
  });

  it('FRM-15 ten thousand calls cancelled mid-way leave nothing behind', async () => {
    await serve((invocation) => {
      invocation.accept();
      invocation.sendRoot(invocation.payload);
      invocation.close();
    });
    let accepted = 0;
    for (let round = 0; round < 100; round++) {
      const batch = Array.from({ length: 100 }, () => {
        const recorder = new Recorder();
        const [outgoing] = call(unhex('00'), { recorder });
        recorder.accepted = () => {
          accepted++;
          queueMicrotask(() => outgoing.cancel());
          return true;
        };
      });
      await until(() => accepted === (round + 1) * batch.length);
    }
    await bus.flush();
    expect(inbox.size).toBe(0);
  });

  it('a thousand calls at once each get their own answer', async () => {
    await serve((invocation) => {
      const { payload } = invocation;
      if (payload[0]! % 2 === 0) {
        invocation.replyUnary(payload, { entries: [] });
      } else {
        invocation.accept();
        invocation.sendRoot(payload);
      }
      invocation.close();
    });
    const recorders = Array.from({ length: 1000 }, (_, i) => call(Buffer.from([i & 255, i >> 8]), { unary: true })[1]);
    await until(() => recorders.every(({ seen }) => seen.some((event) => event.startsWith('unary') || event.startsWith('end'))));
    recorders.forEach(({ seen }, i) => {
      const sent = hex(Buffer.from([i & 255, i >> 8]));
      expect(seen).toEqual(i % 2 === 0 ? [`unary ${sent} -`] : ['accepted', `result  ${sent}`, 'end ']);
    });
  });

  it('a call while disconnected is refused at once', async () => {
    await using own = await startServer();
    await using lone = await connectPartition({
      partition: 'rpc',
      lattice: 'default',
      servers: [own.url],
      name: 'test',
      log: silentLogger(),
    });
    const itsInbox = createInbox(lone);
    await own.kill();
    await until(() => lone.state === 'disconnected');
    const recorder = new Recorder();
    prepareCall({ bus: lone, inbox: itsInbox }).send({ subject: SUBJECT, params: EMPTY, headers: [], unary: true }, recorder);
    expect(recorder.seen).toEqual([]);
    await sleep(0);
    expect(recorder.seen[0]).toMatch(/^refused 503 The connection to NATS is interrupted/);
  });
});
