import { quote } from '../../ids.ts';
import { readProviderAuction, readStartProvider, readStopProvider } from '../../lattice/control-messages.ts';
import { providerStartFailed } from '../../lattice/events.ts';
import type { ControlOptions } from './options.ts';
import { failed, type Outcome } from './outcome.ts';

const NOT_SUPPORTED = 'this host does not run capability providers yet (not supported yet)';

/** Bids for no provider: another host can start it, and this one cannot. */
export function auctionProvider({ log }: ControlOptions, payload: Uint8Array): Outcome | undefined {
  const parsed = readProviderAuction(payload);
  if ('error' in parsed) return failed(parsed.error);
  log.info({ code: 'TRELLIS_CONTROL_FAILED', provider: quote(parsed.value.ref) }, `no bid for a provider: ${NOT_SUPPORTED}`);
  return undefined;
}

/** Refuses `provider.start`, in the answer and in the event that clients wait for. */
export function startProvider({ facts, events }: ControlOptions, payload: Uint8Array): Outcome {
  const parsed = readStartProvider(payload);
  if ('error' in parsed) return failed(parsed.error);
  const { providerId, providerRef } = parsed.value;
  events.publish(providerStartFailed({ providerId, providerRef, hostId: facts.id }, NOT_SUPPORTED));
  return failed(NOT_SUPPORTED, `${quote(providerId)} of ${quote(providerRef)}`);
}

/** Answers `provider.stop`: no provider runs here. */
export function stopProvider(payload: Uint8Array): Outcome {
  const parsed = readStopProvider(payload);
  if ('error' in parsed) return failed(parsed.error);
  return failed('provider with that ID is not running', quote(parsed.value.providerId));
}
