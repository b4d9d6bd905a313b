import { randomFillSync } from 'node:crypto';
import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import type { ComponentId, LatticeName } from '../ids.ts';
import { byteLengthOf, type ByteParts } from './canonical.ts';
import { checkWritable } from './claim-values.ts';
import { buildTree, MAX_BATCH } from './merkle.ts';
import type { SigningKey } from './nkey.ts';
import { writeConfirmClaims } from './confirm-token.ts';
import { writeRequestClaims } from './request-token.ts';
import { type ResultStatus, writeAcceptClaims, writeResultClaims } from './result-token.ts';
import {
  batchMessage,
  HEADERS,
  leafHash,
  paramsDigest,
  requestDigest,
  resultDigest,
  sealBatched,
  sealSingle,
  signedTextOf,
  singleMessage,
  type TokenKind,
} from './token.ts';

/** Longest life of a request token, milliseconds. */
export const MAX_LIFETIME_MS = 60_000;
const DEFAULT_LIFETIME_MS = 30_000;

/** What a caller keeps of a request to judge its answer by. */
export interface SentRequest {
  readonly token: string;
  /** D("req", token): what accepts and results must name. */
  readonly digest: string;
  /** The called component. */
  readonly target: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/** A call to sign. */
export interface RequestToSign {
  readonly origin: string;
  readonly link: string;
  readonly target: string;
  readonly instance: string;
  readonly func: string;
  readonly subject: string;
  /** Reply subject, or what stands in its place; see `rpl` of the claims. */
  readonly reply: string;
  /** Lattice of the called component, if it is another one. */
  readonly lattice?: LatticeName | undefined;
  /** The whole root parameter bytes, in one piece or several. Read during the call only. */
  readonly params: ByteParts;
  /** The public half of an X25519 key for the streams of this call. */
  readonly epk?: string | undefined;
}

/** An answer to sign. `request` is the digest of the request token. */
export interface ResultToSign {
  readonly request: string;
  readonly server: ComponentId;
  readonly status: ResultStatus;
  /** The whole root result bytes. Read during the call only. */
  readonly result: ByteParts;
  /** The inbox of the accept that came before, if one did. */
  readonly inbox?: string | undefined;
}

/** An accept to sign. */
export interface AcceptToSign {
  readonly request: string;
  readonly server: ComponentId;
  /** Where the rest of the parameters should be sent. */
  readonly inbox: string;
  /** `confirm`: runs when the caller has confirmed this accept; `running`: has been admitted; by default it awaits parameters. */
  readonly state?: 'confirm' | 'running' | undefined;
  /** The public half of an X25519 key for the streams of this call. */
  readonly epk?: string | undefined;
}

/** A confirmation to sign. */
export interface ConfirmToSign {
  readonly request: string;
  /** The inbox of the accept that is confirmed. */
  readonly inbox: string;
}

/** Signs everything one host (or one caller) says. */
export interface TokenSigner {
  /** The public key that the tokens name. */
  readonly issuer: string;
  /** Signs a call. `done` runs in the same turn of the event loop. @throws TRELLIS_TRUST_CLAIMS_INVALID */
  request(request: RequestToSign, done: (token: string, sent: SentRequest) => void): void;
  /** Signs an answer. @throws TRELLIS_TRUST_CLAIMS_INVALID */
  result(result: ResultToSign, done: (token: string) => void): void;
  /** Signs an accept. @throws TRELLIS_TRUST_CLAIMS_INVALID */
  accept(accept: AcceptToSign, done: (token: string) => void): void;
  /** Signs a confirmation. @throws TRELLIS_TRUST_CLAIMS_INVALID */
  confirm(confirm: ConfirmToSign, done: (token: string) => void): void;
  /** Signs what is queued now instead of at the end of the turn. */
  flush(): void;
  readonly stats: SignerStats;
}

/** Counters since the signer was made; tokens ÷ signatures is the mean batch. */
export interface SignerStats {
  readonly tokens: number;
  readonly signatures: number;
}

/** Options of {@link createTokenSigner}. */
export interface TokenSignerOptions {
  readonly key: SigningKey;
  /** Thumbprint of the delegation in force; absent, or giving `undefined`, for a key that is a cluster issuer itself. */
  readonly kid?: () => string | undefined;
  readonly lattice: LatticeName;
  readonly clock: Clock;
  /** Life of a request token, milliseconds, 1 to {@link MAX_LIFETIME_MS}; 30,000 by default. */
  readonly lifetimeMs?: number;
  /** False: one signature a token, also when several are ready together. True by default. */
  readonly batch?: boolean;
}

interface Queued {
  readonly kind: TokenKind;
  readonly claimsText: string;
  readonly done: (token: string) => void;
}

// Random ids are drawn in blocks: one call into the random generator for 256 ids.
const ID_BYTES = 16;
const idPool = Buffer.alloc(256 * ID_BYTES);
let idAt = idPool.length;

/** A new 128-bit random id, 22 base64url characters. */
export function newTokenId(): string {
  if (idAt === idPool.length) {
    randomFillSync(idPool);
    idAt = 0;
  }
  const id = idPool.toString('base64url', idAt, idAt + ID_BYTES);
  idAt += ID_BYTES;
  return id;
}

/**
 * Makes a signer. Everything that is asked for in one turn of the event loop is signed together at its end, with one
 * signature over a Merkle root; a token that is alone takes the single form. Nothing ever waits for a second turn.
 * @throws TRELLIS_TRUST_CLAIMS_INVALID if the lifetime is out of range
 */
export function createTokenSigner(options: TokenSignerOptions): TokenSigner {
  const { key, lattice, clock, lifetimeMs = DEFAULT_LIFETIME_MS, batch = true } = options;
  if (!Number.isInteger(lifetimeMs) || lifetimeMs < 1 || lifetimeMs > MAX_LIFETIME_MS) {
    throw new TrellisError('TRELLIS_TRUST_CLAIMS_INVALID', {
      message: `A token cannot live ${lifetimeMs} ms`,
      remedy: `Set trust.tokenLifetimeMs between 1 and ${MAX_LIFETIME_MS}.`,
    });
  }
  const issuer = key.publicKey;
  const stats = { tokens: 0, signatures: 0 };
  let queue: Queued[] = [];
  let scheduled = false;

  const nowMs = (): number => Math.floor(clock.wallMs());
  const identity = (): { readonly iss: string; readonly kid?: string } => {
    const kid = options.kid?.();
    return kid === undefined ? { iss: issuer } : { iss: issuer, kid };
  };

  function enqueue(kind: TokenKind, claimsText: string, done: (token: string) => void): void {
    queue.push({ kind, claimsText, done });
    if (queue.length >= MAX_BATCH) flush();
    else if (!scheduled) {
      // The tick queue runs when the event that brought these calls, and every promise it settled, has been handled: all of
      // its tokens are there, and a lone one has not waited for another round of the loop.
      scheduled = true;
      process.nextTick(flush);
    }
  }

  function signMessage(message: string): Buffer {
    stats.signatures++;
    return key.sign(Buffer.from(message, 'latin1'));
  }

  function sealAll(ready: readonly Queued[]): string[] {
    if (ready.length === 1 || !batch) {
      return ready.map(({ kind, claimsText }) => {
        const signedText = signedTextOf(HEADERS[kind].single, claimsText);
        return sealSingle(signedText, signMessage(singleMessage(signedText)));
      });
    }
    const texts = ready.map(({ kind, claimsText }) => signedTextOf(HEADERS[kind].batched, claimsText));
    const { root, paths } = buildTree(texts.map((text) => leafHash(text, 'binary')));
    const signature = signMessage(batchMessage(root, texts.length));
    return texts.map((text, index) => sealBatched(text, signature, index, texts.length, paths[index]!));
  }

  function flush(): void {
    scheduled = false;
    if (queue.length === 0) return;
    const ready = queue;
    queue = [];
    stats.tokens += ready.length;
    const tokens = sealAll(ready);
    // One receiver's fault must not cost the others their token; it is thrown on when all have theirs.
    let failure: { readonly error: unknown } | undefined;
    for (let index = 0; index < ready.length; index++) {
      try {
        ready[index]!.done(tokens[index]!);
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure !== undefined) throw failure.error;
  }

  return {
    issuer,
    stats,
    flush,
    request(r, done) {
      const iat = nowMs();
      const exp = iat + lifetimeMs;
      const claimsText = writeRequestClaims({
        v: 2,
        jti: newTokenId(),
        iat,
        exp,
        lat: r.lattice ?? lattice,
        ...identity(),
        org: r.origin,
        lnk: r.link,
        tgt: r.target,
        ins: r.instance,
        fun: r.func,
        sub: r.subject,
        rpl: r.reply,
        len: byteLengthOf(r.params),
        dig: paramsDigest(r.params),
        ...(r.epk === undefined ? {} : { epk: r.epk }),
      });
      checkWritable(claimsText, r.origin, r.link, r.target, r.instance, r.func, r.subject, r.reply);
      enqueue('request', claimsText, (token) =>
        done(token, { token, digest: requestDigest(token), target: r.target, issuedAtMs: iat, expiresAtMs: exp }),
      );
    },
    result(r, done) {
      const claimsText = writeResultClaims({
        v: 2,
        req: r.request,
        iat: nowMs(),
        lat: lattice,
        ...identity(),
        srv: r.server,
        st: r.status,
        len: byteLengthOf(r.result),
        dig: resultDigest(r.result),
        ...(r.inbox === undefined ? {} : { rs: r.inbox }),
      });
      checkWritable(claimsText, r.request, r.server, r.inbox ?? '');
      enqueue('result', claimsText, done);
    },
    accept(r, done) {
      const claimsText = writeAcceptClaims({
        v: 2,
        req: r.request,
        iat: nowMs(),
        lat: lattice,
        ...identity(),
        srv: r.server,
        rs: r.inbox,
        ...(r.epk === undefined ? {} : { epk: r.epk }),
        ...(r.state === 'confirm' ? { cnf: 1 } : {}),
        ...(r.state === 'running' ? { run: 1 } : {}),
      });
      checkWritable(claimsText, r.request, r.server, r.inbox);
      enqueue('accept', claimsText, done);
    },
    confirm(r, done) {
      const claimsText = writeConfirmClaims({ v: 2, req: r.request, iat: nowMs(), lat: lattice, ...identity(), rs: r.inbox });
      checkWritable(claimsText, r.request, r.inbox);
      enqueue('confirm', claimsText, done);
    },
  };
}
