import { readFile } from 'node:fs/promises';
import type { Clock } from '../../clock.ts';
import type { HostConfig } from '../../config/schema.ts';
import { TrellisError } from '../../errors.ts';
import type { LatticeName } from '../../ids.ts';
import type { LinkTable } from '../../trust/links.ts';
import { WorkBudget } from '../../trust/work-budget.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { createWasmbusVerifier, type WasmbusVerifier, type WasmbusVerifierOptions } from '../../trust/verify-wasmbus.ts';
import type { PayloadStore } from '../../wasmbus/payload-store.ts';
import type { Bus } from '../../wrpc/bus.ts';
import type { Inbox } from '../../wrpc/inbox.ts';
import type { PathObserver } from '../observer.ts';
import { WasmbusInvoker } from './invoke.ts';

/** What a member of a lattice has for peers of 0.82. */
export interface WasmbusMember {
  readonly verifier: WasmbusVerifier;
  readonly store: PayloadStore;
  /** Absent without `trust.wasmbus.seedFile`: there is no key that such peers would believe. */
  readonly invoker: WasmbusInvoker | undefined;
  /** Public key that calls to such peers are signed with. */
  readonly issuer: string | undefined;
}

/** What {@link joinWasmbus} takes. */
export interface JoinWasmbusOptions extends Pick<WasmbusVerifierOptions, 'signers' | 'time' | 'replay' | 'fence'> {
  readonly config: HostConfig;
  readonly lattice: LatticeName;
  readonly clock: Clock;
  readonly links: LinkTable;
  readonly bus: Bus;
  readonly inbox: Inbox;
  readonly store: PayloadStore;
  readonly observer: PathObserver;
}

/**
 * Makes what a member needs to speak to peers of 0.82. Nothing of it touches the network before it is used.
 * @throws TRELLIS_KEY_INVALID for a seed file that cannot be read or holds no cluster seed
 */
export async function joinWasmbus(options: JoinWasmbusOptions): Promise<WasmbusMember> {
  const { config, lattice, bus, inbox, store, observer, clock } = options;
  const { skewMs, unlinkedOrigins, failedChecksPerSecond, wasmbus } = config.trust;
  const { signers, time, replay, fence, links } = options;
  const { selfCalls, maxAgeMs } = wasmbus;
  const verifier = createWasmbusVerifier({
    lattice,
    signers,
    time,
    replay,
    links,
    fence,
    unlinkedOrigins,
    selfCalls,
    skewMs,
    maxAgeMs,
    budget: new WorkBudget(time, failedChecksPerSecond, failedChecksPerSecond),
  });
  const key = wasmbus.seedFile === undefined ? undefined : await issuerKey(wasmbus.seedFile);
  const { maxResultBytes } = config.limits;
  // Peers only look whether it could be the key of a host; nothing in 0.82 ties it to who sends.
  const hostId = SigningKey.generate('server').publicKey;
  const invoker =
    key === undefined
      ? undefined
      : new WasmbusInvoker({ bus, inbox, lattice, clock, key, hostId, store, observer, maxResultBytes });
  return { verifier, store, invoker, issuer: key?.publicKey };
}

async function issuerKey(file: string): Promise<SigningKey> {
  const seed = await readFile(file).catch((cause: unknown) => {
    throw new TrellisError('TRELLIS_KEY_INVALID', {
      message: `the seed file ${file} for wasmCloud 0.82 could not be read`,
      remedy: 'Check trust.wasmbus.seedFile, or make one with: trellis keys gen cluster --out FILE',
      cause,
    });
  });
  return SigningKey.fromSeed(seed, 'cluster');
}
