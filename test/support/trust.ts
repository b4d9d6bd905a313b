import type { Clock } from '../../src/clock.ts';
import { componentId, latticeName } from '../../src/ids.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { ReplayWindow } from '../../src/trust/replay.ts';
import { writeRequestClaims, type RequestClaims } from '../../src/trust/request-token.ts';
import { RestartFence, type AheadStore } from '../../src/trust/restart-fence.ts';
import { createTokenSigner, newTokenId, type SentRequest, type TokenSigner } from '../../src/trust/signer.ts';
import { HEADERS, paramsDigest, sealSingle, signedTextOf, singleMessage } from '../../src/trust/token.ts';
import { TrustState } from '../../src/trust/trust-state.ts';
import { TrustedTime } from '../../src/trust/trusted-time.ts';
import { createRequestVerifier, type ReceivedRequest, type RequestVerifierOptions } from '../../src/trust/verify-request.ts';
import { createResultVerifier } from '../../src/trust/verify-result.ts';

/** A clock that stands still until a test moves it; wall and monotonic time move together or apart. */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 1_000;

  constructor(wallMs = 1_800_000_000_000) {
    this.#wallMs = wallMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  /** Time passes. */
  pass(ms: number): void {
    this.#wallMs += ms;
    this.#monotonicMs += ms;
  }

  /** Somebody sets the wall clock. */
  setBy(ms: number): void {
    this.#wallMs += ms;
  }
}

export const LATTICE = latticeName('default');
export const ECHO = componentId('echo');

/** The call that the tests sign, receive and tamper with. */
export const CALL = {
  origin: 'caller',
  link: 'default',
  target: 'echo',
  instance: 'trellis-samples:echo/bytes@0.1.0',
  func: 'echo-bytes',
  subject: 'default.echo.wrpc.0.0.1.trellis-samples:echo/bytes@0.1.0.echo-bytes',
  reply: '_INBOX_RPC.default.x7Yh2LmQpR4sT9vW.k3',
  params: Buffer.from('parameters of the call'),
};

/** A store that lives as long as the test. */
export class MemoryAheadStore implements AheadStore {
  aheadMs = 0;
  writes = 0;

  raise(ms: number): void {
    this.aheadMs = ms;
    this.writes++;
  }
}

type Settings = Partial<Omit<RequestVerifierOptions, 'signers'>> & {
  readonly issuers?: readonly string[];
  readonly maxEntries?: number;
  readonly clock?: ManualClock;
  readonly key?: SigningKey;
  readonly store?: AheadStore;
};

/** One trusted key, one signer, one host that verifies; all on one manual clock. */
export function createTrustWorld(settings: Settings = {}) {
  const clock = settings.clock ?? new ManualClock();
  const key = settings.key ?? SigningKey.generate('cluster');
  const time = new TrustedTime(clock);
  const skewMs = settings.skewMs ?? 5_000;
  const signers = new TrustState({ lattice: LATTICE, issuers: settings.issuers ?? [key.publicKey], time, skewMs });
  const replay = new ReplayWindow({ clock, maxEntries: settings.maxEntries ?? 10_000, skewMs });
  const fence = new RestartFence(time, skewMs, settings.store ?? new MemoryAheadStore());
  const links = { allows: (origin: string, link: string) => origin === CALL.origin && link === CALL.link };
  const { key: _, store: __, maxEntries: ___, clock: ____, ...own } = settings;
  const verifier = createRequestVerifier({
    lattice: LATTICE,
    time,
    replay,
    fence,
    links,
    unlinkedOrigins: [],
    bind: 'strict',
    ...own,
    signers,
  });
  const results = createResultVerifier({ lattice: LATTICE, signers, time, skewMs });
  const signer = createTokenSigner({ key, lattice: LATTICE, clock });
  return { clock, key, signers, time, replay, fence, verifier, results, signer };
}

/** What {@link createTrustWorld} gives. */
export type TrustWorld = ReturnType<typeof createTrustWorld>;

/** One signed call: the message as it should arrive, and what its caller keeps. */
export interface SignedCall {
  readonly token: string;
  readonly sent: SentRequest;
  readonly message: ReceivedRequest;
}

/** The message that carries `token` in {@link CALL}. */
export function messageOf(token: string | undefined, params: Uint8Array = CALL.params): ReceivedRequest {
  const { subject, reply, target, instance, func } = CALL;
  return { token, subject, reply, target, instance, func, sourceId: CALL.origin, linkName: CALL.link, params };
}

/** Signs `count` calls together: 1 gives the single form, more the batched form. */
export function signCalls(signer: TokenSigner, count: number, changes: Partial<typeof CALL> = {}): SignedCall[] {
  const calls: SignedCall[] = [];
  for (let n = 0; n < count; n++) {
    signer.request({ ...CALL, ...changes }, (token, sent) =>
      calls.push({ token, sent, message: messageOf(token, changes.params) }),
    );
  }
  signer.flush();
  return calls;
}

/** A token over claims of the test's choosing, properly signed by `key`. */
export function forge(key: SigningKey, clock: Clock, changes: Partial<RequestClaims> = {}): string {
  return sealClaims(key, writeRequestClaims(claimsOf(key, clock, changes)));
}

/** The claims that {@link forge} signs. */
export function claimsOf(key: SigningKey, clock: Clock, changes: Partial<RequestClaims> = {}): RequestClaims {
  const iat = clock.wallMs();
  return {
    v: 2,
    jti: newTokenId(),
    iat,
    exp: iat + 30_000,
    lat: LATTICE,
    iss: key.publicKey,
    org: CALL.origin,
    lnk: CALL.link,
    tgt: CALL.target,
    ins: CALL.instance,
    fun: CALL.func,
    sub: CALL.subject,
    rpl: CALL.reply,
    len: CALL.params.length,
    dig: paramsDigest(CALL.params),
    ...changes,
  };
}

/** Signs any text as the claims of a request. */
export function sealClaims(key: SigningKey, claimsText: string, header = HEADERS.request.single): string {
  const signedText = signedTextOf(header, claimsText);
  return sealSingle(signedText, key.sign(Buffer.from(singleMessage(signedText), 'latin1')));
}

/** Verifies and admits in one go: the code of the refusal, or `ran`. */
export function run(world: Pick<TrustWorld, 'verifier'>, message: ReceivedRequest, root = [message.params]): string {
  const verdict = world.verifier.verify(message);
  if (!verdict.ok) return verdict.code;
  const admitted = world.verifier.admit(verdict.pending, root);
  return admitted.ok ? 'ran' : admitted.code;
}
