import type { Clock } from '../clock.ts';
import type { LatticeName } from '../ids.ts';
import { signCommand } from '../trust/control-token.ts';
import { delegationThumbprint } from '../trust/delegation.ts';
import type { SigningKey } from '../trust/nkey.ts';
import type { BusHeaders } from '../wrpc/bus.ts';

/** The headers of a signed control message. */
export const COMMAND_HEADER = { command: 'Lattice-Command', delegation: 'Lattice-Delegation' } as const;

/** A control message that is about to be sent. */
export interface ControlMessage {
  readonly subject: string;
  /** Its reply subject; empty if nobody waits for an answer. */
  readonly reply: string;
  readonly payload: Uint8Array;
}

/** Signs a control message: the header entries that go with it. @throws TRELLIS_TRUST_CLAIMS_INVALID, TRELLIS_DELEGATION_* */
export type SignControl = (message: ControlMessage) => Promise<BusHeaders['entries']>;

/** Who signs. */
export interface ControlSigner {
  /** An operator's key (`U…`), or a cluster key. */
  readonly key: SigningKey;
  /** Gives what lets the operator's key give commands, when it is first needed; absent for a cluster key. */
  readonly delegation?: (() => Promise<string>) | undefined;
  readonly lattice: LatticeName;
  readonly clock: Clock;
}

/** The way to sign control messages for hosts with `control.mode: signed`. Each message is good once, for 15 s. */
export function signControl({ key, delegation: obtain, lattice, clock }: ControlSigner): SignControl {
  let obtained: Promise<string> | undefined;
  return async ({ subject, reply, payload }) => {
    obtained ??= obtain?.();
    const delegation = await obtained?.catch((error: unknown) => {
      obtained = undefined;
      throw error;
    });
    const kid = delegation === undefined ? undefined : delegationThumbprint(delegation);
    const token = signCommand(key, { lattice, subject, reply, body: payload, kid, nowMs: clock.wallMs() });
    const shown = delegation === undefined ? [] : [[COMMAND_HEADER.delegation, delegation] as const];
    return [[COMMAND_HEADER.command, token], ...shown];
  };
}
