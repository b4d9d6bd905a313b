import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { Objm, type ObjectStore } from '@nats-io/obj';
import { connect, type Msg, type NatsConnection } from 'nats';
import { SigningKey } from '../../src/trust/nkey.ts';
import { MsgpackCursor } from '../../src/wasmbus/msgpack-cursor.ts';
import { AsText, entityPairs, msgpack, type Packable, type Pairs, type Party } from './wasmbus.ts';

/** What a call is made of; each part can be replaced, before it is signed or after. */
export interface PeerCall {
  readonly origin: Party;
  readonly target: Party;
  readonly operation: string;
  readonly payload: Uint8Array;
  readonly id: string;
  readonly hostId: string;
  /** Seconds since the Unix epoch. */
  readonly iat: number;
  readonly jti: string;
}

/** An answer, read. */
export interface PeerAnswer {
  readonly error: string | undefined;
  readonly msg: Buffer;
  readonly invocationId: string;
  readonly contentLength: number;
}

/** How a message is packed: as the Rust host does it, or as OTP. */
export type Style = 'rust' | 'otp';

function urlOf({ publicKey, contractId, linkName }: Party): string {
  if (publicKey.startsWith('M')) return `wasmbus://${publicKey}`;
  return `wasmbus://${contractId.replace(':', '/')}/${linkName}/${publicKey}`;
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}

/** A small peer of wasmCloud 0.82: its own msgpack, its own tokens, a plain NATS client. */
export class WasmbusPeer implements AsyncDisposable {
  readonly client: NatsConnection;
  readonly key: SigningKey;
  readonly #bucket: string;

  private constructor(client: NatsConnection, key: SigningKey, bucket: string) {
    this.client = client;
    this.key = key;
    this.#bucket = bucket;
  }

  /** @param seed The cluster seed that this peer holds. */
  static async connect(url: string, seed: string, lattice = 'default'): Promise<WasmbusPeer> {
    return new WasmbusPeer(await connect({ servers: url }), SigningKey.fromSeed(seed, 'cluster'), lattice);
  }

  /** The bucket of big payloads, made if it is not there. */
  store(): Promise<ObjectStore> {
    return new Objm(this.client).create(this.#bucket);
  }

  /** The token of a call, signed by this peer's key. */
  sign(call: PeerCall, key = this.key): string {
    const originUrl = urlOf(call.origin);
    const targetUrl = `${urlOf(call.target)}/${call.operation}`;
    const hash = createHash('sha256').update(originUrl).update(targetUrl).update(call.operation).update(call.payload);
    const claims = JSON.stringify({
      jti: call.jti,
      iat: call.iat,
      iss: this.key.publicKey,
      sub: call.id,
      wascap: { target_url: targetUrl, origin_url: originUrl, hash: hash.digest('hex').toUpperCase() },
      wascap_revision: 3,
    });
    const signed = `${base64url('{"typ":"jwt","alg":"Ed25519"}')}.${base64url(claims)}`;
    return `${signed}.${key.sign(Buffer.from(signed)).toString('base64url')}`;
  }

  /** The parts that a call has when nothing else is said. */
  static defaults(): Pick<PeerCall, 'id' | 'hostId' | 'iat' | 'jti'> {
    return {
      id: randomUUID(),
      hostId: SigningKey.generate('server').publicKey,
      iat: Math.floor(Date.now() / 1_000),
      jti: randomBytes(11).toString('hex'),
    };
  }

  /** The message of a call. `changes` replaces fields afterwards, without a signature. */
  pack(call: PeerCall, changes: Readonly<Record<string, Packable>> = {}, style: Style = 'rust'): Buffer {
    const pairs: Pairs = [
      ['origin', entityPairs(call.origin)],
      ['target', entityPairs(call.target)],
      ['operation', call.operation],
      ['msg', style === 'otp' ? new AsText(call.payload) : call.payload],
      ['id', call.id],
      ['encoded_claims', this.sign(call)],
      ['host_id', style === 'otp' ? this.key.publicKey : call.hostId],
      ...(style === 'otp'
        ? []
        : ([
            ['content_length', call.payload.length],
            ['traceContext', []],
          ] as Pairs)),
    ];
    return msgpack(pairs.map(([key, value]): Pairs[number] => [key, changes[key] ?? value]));
  }

  /** Sends a message as it is, and reads the answer. */
  async send(subject: string, message: Uint8Array, timeoutMs = 30_000): Promise<PeerAnswer> {
    const answer = readAnswer((await this.client.request(subject, message, { timeout: timeoutMs })).data);
    if (answer.error !== undefined || answer.contentLength <= answer.msg.length) return answer;
    const stored = await (await this.store()).getBlob(`${answer.invocationId}-r`);
    return { ...answer, msg: Buffer.from(stored ?? []) };
  }

  /** Serves a subject: `answer` gets each invocation's fields and gives the bytes to reply. */
  serve(subject: string, queue: string, answer: (request: PeerRequest, message: Msg) => Promise<Buffer> | Buffer): void {
    this.client.subscribe(subject, {
      queue,
      callback: (_error, message) => {
        void (async () => message.respond(await answer(readRequest(message.data), message)))();
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
  }
}

/** An invocation as a peer reads it. */
export interface PeerRequest {
  /** Keys in the order they came. */
  readonly keys: readonly string[];
  readonly texts: ReadonlyMap<string, Buffer>;
  readonly maps: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly contentLength: number;
  readonly id: string;
}

function readRequest(bytes: Uint8Array): PeerRequest {
  const cursor = new MsgpackCursor(bytes);
  const keys: string[] = [];
  const texts = new Map<string, Buffer>();
  const maps = new Map<string, Record<string, string>>();
  let contentLength = -1;
  for (let left = cursor.mapLength(16); left > 0; left--) {
    const key = cursor.text(64);
    keys.push(key);
    if (key === 'content_length') contentLength = cursor.integer();
    else if (key === 'origin' || key === 'target' || key === 'traceContext') {
      const entries: Record<string, string> = {};
      for (let n = cursor.mapLength(16); n > 0; n--) entries[cursor.text(64)] = cursor.text(1_024);
      maps.set(key, entries);
    } else texts.set(key, Buffer.from(cursor.bytes()));
  }
  if (!cursor.end()) throw new Error(`not an invocation: ${cursor.fault}`);
  return { keys, texts, maps, contentLength, id: texts.get('id')!.toString() };
}

/** Reads an answer. */
export function readAnswer(bytes: Uint8Array): PeerAnswer {
  const cursor = new MsgpackCursor(bytes);
  const answer = { error: undefined as string | undefined, msg: Buffer.alloc(0), invocationId: '', contentLength: 0 };
  for (let left = cursor.mapLength(16); left > 0; left--) {
    const key = cursor.text(64);
    if (key === 'msg') answer.msg = Buffer.from(cursor.bytes());
    else if (key === 'invocation_id') answer.invocationId = cursor.text(128);
    else if (key === 'error') answer.error = cursor.text(4_096);
    else if (key === 'content_length') answer.contentLength = cursor.integer();
    else cursor.skip();
  }
  if (!cursor.end()) throw new Error(`not an answer: ${cursor.fault}`);
  return answer;
}

/** The bytes of an answer, as the Rust host writes them. */
export function answerBytes(invocationId: string, msg: Uint8Array, error?: string, contentLength = msg.length): Buffer {
  return msgpack([
    ['msg', msg],
    ['invocation_id', invocationId],
    ...(error === undefined ? [] : ([['error', error]] as Pairs)),
    ['content_length', contentLength],
    ['traceContext', []],
  ]);
}
