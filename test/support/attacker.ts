import { randomBytes } from 'node:crypto';
import type { Clock } from '../../src/clock.ts';
import type { SigningKey } from '../../src/trust/nkey.ts';
import { newTokenId } from '../../src/trust/signer.ts';
import { writeRequestClaims, type RequestClaims } from '../../src/trust/request-token.ts';
import { paramsDigest } from '../../src/trust/token.ts';
import type { BusHeaders, BusMessage } from '../../src/wrpc/bus.ts';
import type { TestLattice } from './lattice.ts';
import { sealClaims } from './trust.ts';

/** The machine's clock, moved by a test: to and fro, or only the wall clock. */
export class ShiftedClock implements Clock {
  #shiftMs = 0;
  #wallShiftMs = 0;

  wallMs(): number {
    return Date.now() + this.#shiftMs + this.#wallShiftMs;
  }

  monotonicMs(): number {
    return performance.now() + this.#shiftMs;
  }

  /** Time passes. */
  pass(ms: number): void {
    this.#shiftMs += ms;
  }

  /** Somebody sets the wall clock. */
  setBy(ms: number): void {
    this.#wallShiftMs += ms;
  }
}

/** What came back for a message: a status line, a result, an acknowledgement, or nothing within the time. */
export interface Reply {
  readonly kind: 'status' | 'result' | 'accepted' | 'nothing';
  readonly text: string;
  /** Id under which the host explains a refusal. */
  readonly correlation?: string | undefined;
}

/** One function that the attacks are aimed at. */
export const VICTIM = { target: 'echo', instance: 'trellis-samples:echo/values@0.1.0', func: 'echo-string' } as const;
/** `"attack"` as a parameter of {@link VICTIM}. */
export const PARAMS: Buffer = Buffer.from('\u0006attack', 'latin1');

/** What a message is made of, beside its defaults. */
export interface Forged {
  readonly token?: string | undefined;
  readonly params?: Uint8Array;
  readonly subject?: string;
  readonly reply?: string;
  readonly headers?: BusHeaders['entries'];
}

/**
 * Somebody with rpc credentials, who can publish and listen anywhere but holds no cluster key. For messages that are genuine but
 * for one thing, tests hand it the key.
 */
export class Attacker {
  readonly #lattice: TestLattice;
  readonly subject: string;

  constructor(lattice: TestLattice) {
    this.#lattice = lattice;
    this.subject = `default.${VICTIM.target}.wrpc.0.0.1.${VICTIM.instance}.${VICTIM.func}`;
  }

  /** A reply subject of its own, new for each message. */
  reply(): string {
    return `_INBOX_ATTACKER.${randomBytes(12).toString('hex')}`;
  }

  /** Claims that would be accepted for {@link VICTIM}, with changes. */
  claims(key: SigningKey, clock: Clock, changes: Partial<RequestClaims> = {}): RequestClaims {
    const iat = Math.floor(clock.wallMs());
    return {
      v: 2,
      jti: newTokenId(),
      iat,
      exp: iat + 30_000,
      lat: 'default',
      iss: key.publicKey,
      org: 'trellis-cli',
      lnk: 'default',
      tgt: VICTIM.target,
      ins: VICTIM.instance,
      fun: VICTIM.func,
      sub: this.subject,
      rpl: '',
      len: PARAMS.length,
      dig: paramsDigest(PARAMS),
      ...changes,
    };
  }

  /** A token over such claims, signed by `key`. */
  token(key: SigningKey, clock: Clock, changes: Partial<RequestClaims> = {}): string {
    return sealClaims(key, writeRequestClaims(this.claims(key, clock, changes)));
  }

  /** Sends one message and waits for the first thing that comes back. */
  async send(forged: Forged, waitMs = 30_000): Promise<Reply> {
    const bus = this.#lattice.caller.member.rpc;
    const reply = forged.reply ?? this.reply();
    let resolve: (reply: Reply) => void = () => {};
    const first = new Promise<Reply>((done) => (resolve = done));
    const subscription = bus.subscribe(`${reply}.>`, {}, (message) => resolve(replyOf(message)));
    const exact = bus.subscribe(reply, {}, (message) => resolve(replyOf(message)));
    const entries: [string, string][] = [
      ...(forged.headers ??
        ([
          ['source-id', 'trellis-cli'],
          ['link-name', 'default'],
        ] as const)),
      ['Lattice-Reply', 'unary'],
    ].map(([name, value]) => [name, value]);
    if (forged.token !== undefined) entries.push(['Lattice-Invocation', forged.token]);
    bus.publish(forged.subject ?? this.subject, forged.params ?? PARAMS, { reply, headers: { entries } });
    const timer = setTimeout(() => resolve({ kind: 'nothing', text: 'nothing' }), waitMs);
    const answer = await first;
    clearTimeout(timer);
    subscription.unsubscribe();
    exact.unsubscribe();
    return answer;
  }
}

function replyOf(message: BusMessage): Reply {
  if (message.status !== 0) {
    const correlation = message.header('Lattice-Correlation');
    return { kind: 'status', text: `${message.status} ${message.statusText}`, correlation };
  }
  if (message.reply !== '') return { kind: 'accepted', text: message.reply };
  return { kind: 'result', text: Buffer.from(message.payload).toString('latin1') };
}
