import { quote } from '../ids.ts';
import { type CommandClaims, openCommand } from './control-token.ts';
import { type Denial, deny, verifierFailed } from './denial.ts';
import { isDocumentSignedBy } from './document.ts';
import type { ReplayWindow } from './replay.ts';
import type { RestartFence } from './restart-fence.ts';
import { MAX_LIFETIME_MS } from './signer.ts';
import { commandDigest } from './token.ts';
import type { TrustState } from './trust-state.ts';
import type { TrustedTime } from './trusted-time.ts';

/** A command as it came in. */
export interface ReceivedCommand {
  /** The command token, if there was one. */
  readonly token: string | undefined;
  /** The delegation beside it, if there was one. */
  readonly delegation: string | undefined;
  readonly subject: string;
  readonly reply: string;
  /** First token of what the subject asks: `component`, `link`. */
  readonly noun: string;
  readonly body: Uint8Array;
}

/** What a {@link CommandVerifier} is made of. */
export interface CommandVerifierOptions {
  readonly lattice: string;
  readonly trust: Pick<TrustState, 'takeDelegation' | 'find'>;
  readonly time: TrustedTime;
  readonly replay: ReplayWindow;
  readonly fence: RestartFence;
  /** Largest difference between two clocks, milliseconds. */
  readonly skewMs: number;
}

/** Judges commands; one that passes has taken its id on this host. Never throws. */
export type CommandVerifier = (command: ReceivedCommand) => { readonly ok: true; readonly claims: CommandClaims } | Denial;

/**
 * Makes the judge of commands, each of which is for this host, or for each host once. Order of checks: form, spelling, lattice, subject and reply,
 * length of the body, times, delegation, signer, right to give such a command, id unused, signature, digest of the body, and the id is
 * taken. Only who has the right makes this host hash a body.
 */
export function createCommandVerifier(options: CommandVerifierOptions): CommandVerifier {
  const { lattice, trust, time, replay, fence, skewMs } = options;

  function checkPlace(c: CommandClaims, r: ReceivedCommand): Denial | undefined {
    if (c.lat !== lattice) return deny('TRELLIS_VERIFY_LATTICE', `made for lattice ${quote(c.lat)}`);
    if (c.sub !== r.subject) return deny('TRELLIS_VERIFY_BINDING', `made for subject ${quote(c.sub)}`);
    if (c.rpl !== r.reply) return deny('TRELLIS_VERIFY_BINDING', 'made for another reply subject');
    if (c.len !== r.body.length)
      return deny('TRELLIS_VERIFY_PAYLOAD', `a body of ${r.body.length} bytes came, ${c.len} were signed`);
    return undefined;
  }

  function checkTimes({ iat, exp }: CommandClaims, nowMs: number): Denial | undefined {
    const lifetimeMs = exp - iat;
    if (lifetimeMs <= 0 || lifetimeMs > MAX_LIFETIME_MS) {
      return deny('TRELLIS_VERIFY_LIFETIME', `life of ${lifetimeMs} ms, allowed are 1 to ${MAX_LIFETIME_MS}`);
    }
    const aheadMs = Math.ceil(iat - nowMs);
    if (aheadMs > fence.aheadLimitMs) {
      return deny('TRELLIS_VERIFY_EARLY', `signed ${aheadMs} ms ahead of this host's clock, allowed are ${fence.aheadLimitMs}`);
    }
    const lateMs = Math.ceil(nowMs - exp);
    if (lateMs > skewMs) return deny('TRELLIS_VERIFY_EXPIRED', `expired ${lateMs} ms ago, skew allowed is ${skewMs}`);
    // What this host ran in an earlier life it does not know.
    if (fence.refuses(iat)) return deny('TRELLIS_VERIFY_FENCED', 'signed before this host started');
    return undefined;
  }

  function judge(r: ReceivedCommand, claims: CommandClaims, text: string): Denial | undefined {
    const nowMs = time.nowMs();
    const misplaced = checkPlace(claims, r) ?? checkTimes(claims, nowMs);
    if (misplaced !== undefined) return misplaced;
    if (r.delegation !== undefined) {
      const taken = trust.takeDelegation(r.delegation);
      if ('ok' in taken) return taken;
    }
    const signer = trust.find(claims.iss, claims.kid);
    if ('ok' in signer) return signer;
    if (!signer.mayCommand(r.noun)) {
      return deny('TRELLIS_VERIFY_SCOPE', `${quote(claims.iss)} may not give ${quote(r.noun)} commands`);
    }
    if (replay.has(claims.iss, claims.jti)) return deny('TRELLIS_VERIFY_REPLAYED', `id ${claims.jti} was used before`);
    if (!isDocumentSignedBy(text, 'command', signer.key)) {
      return deny('TRELLIS_VERIFY_SIGNATURE', `not signed by ${quote(claims.iss)}`);
    }
    if (commandDigest(r.body) !== claims.dig) return deny('TRELLIS_VERIFY_PAYLOAD', 'digest of the body differs');
    if (replay.insert(claims.iss, claims.jti, claims.exp, nowMs) !== 'new') {
      return deny('TRELLIS_VERIFY_REPLAY_FULL', 'no room to remember another id');
    }
    fence.admit(claims.iat, nowMs);
    return undefined;
  }

  return (r) => {
    try {
      if (r.token === undefined || r.token === '') return deny('TRELLIS_VERIFY_UNSIGNED', 'no command token');
      const opened = openCommand(r.token);
      if ('fault' in opened) {
        return deny(opened.fault === 'form' ? 'TRELLIS_VERIFY_FORM' : 'TRELLIS_VERIFY_MALFORMED', `token ${opened.reason}`);
      }
      const { claims } = opened;
      const denial = judge(r, claims, r.token);
      return denial === undefined ? { ok: true, claims } : { ...denial, said: { jti: claims.jti, iss: claims.iss, org: '' } };
    } catch (error) {
      return verifierFailed(error);
    }
  };
}
