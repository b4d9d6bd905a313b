import type { RunningComponent } from '../../component/component.ts';
import type { ErrorCode } from '../../errors.ts';
import type { LatticeName } from '../../ids.ts';
import type { TokenSigner } from '../../trust/signer.ts';
import type { WasmbusVerifier } from '../../trust/verify-wasmbus.ts';
import { readInvocation, type WasmbusEntity, writeResponse } from '../../wasmbus/messages.ts';
import { paramsOfPayload } from '../../wasmbus/payload.ts';
import type { PayloadStore } from '../../wasmbus/payload-store.ts';
import type { Bus, BusMessage, BusSubscription } from '../../wrpc/bus.ts';
import type { Inbox } from '../../wrpc/inbox.ts';
import { isInboxSubject } from '../../wrpc/subjects.ts';
import { createPath } from '../path.ts';
import type { PathOptions } from '../path-options.ts';
import { createWasmbusGate } from './gate.ts';
import { WasmbusMessage } from './message.ts';
import type { WasmbusFunction } from './operations.ts';

/** What serving one component to peers of 0.82 takes. */
export interface ServeWasmbusOptions {
  readonly bus: Bus;
  readonly inbox: Inbox;
  readonly lattice: LatticeName;
  readonly entity: WasmbusEntity;
  readonly operations: ReadonlyMap<string, WasmbusFunction>;
  readonly verifier: WasmbusVerifier;
  readonly store: PayloadStore;
  /** The path of the component; gate, signer and the form of parameters are those of 0.82. */
  readonly path: PathOptions;
  failed(code: ErrorCode, detail: string): void;
}

/** The subject and the queue group of an actor or provider of 0.82. */
export function wasmbusSubject(
  lattice: LatticeName,
  entity: WasmbusEntity,
): { readonly subject: string; readonly queue: string } {
  const actor = `wasmbus.rpc.${lattice}.${entity.publicKey}`;
  return entity.linkName === '' ? { subject: actor, queue: actor } : { subject: `${actor}.${entity.linkName}`, queue: 'rpc' };
}

/** 0.82 has no signed answers: an accept is the step to the object store and needs no proof. */
const ACCEPTS: Pick<TokenSigner, 'accept'> = { accept: (_accept, done) => done('') };

/** The component as it takes payloads: each is the one `list<u8>` of its function. */
function takingPayloads(component: PathOptions['component']): Pick<RunningComponent, 'call'> {
  return { call: (call, events) => component.call({ ...call, params: paramsOfPayload(call.params) }, events) };
}

/**
 * Serves a component on its 0.82 subject: invocations, and nothing else. Link definitions, shutdown and health on the subjects
 * below it are unsigned in 0.82, so nobody listens there.
 */
export function serveWasmbus(options: ServeWasmbusOptions): BusSubscription {
  const { bus, inbox, operations, store, path, failed } = options;
  const { subject, queue } = wasmbusSubject(options.lattice, options.entity);
  const handler = createPath({
    ...path,
    component: takingPayloads(path.component),
    // Its tokens are bound to no reply subject, and never to another lattice's issuers.
    foreign: { gateFor: () => undefined },
    gate: createWasmbusGate(options.verifier),
    signer: { ...path.signer, ...ACCEPTS },
    // Nobody in 0.82 confirms a call; a component that asks for it is not served to them.
    confirm: false,
  });
  const handlers = new Map([...operations].map(([operation, fn]) => [operation, { fn, handle: handler(fn) }]));
  let open = 0;
  let quiet: (() => void)[] = [];

  /** Answers what names no function here: with the same words as every refusal. */
  function refuse(message: BusMessage, id: string, operation: string, detail: string): void {
    if (path.refusals.open) {
      path.refusals.spend();
      const answer = { msg: new Uint8Array(0), invocationId: id, error: 'invocation denied', contentLength: 0 };
      try {
        message.line.publish(message.reply, writeResponse(answer));
      } catch {
        inbox.stats.undeliverable++;
      }
    }
    path.observer.ended({
      component: path.id,
      operation,
      outcome: 'bad',
      verified: false,
      durationMs: 0,
      origin: undefined,
      traceparent: undefined,
      code: 'TRELLIS_PATH_MALFORMED',
      detail,
    });
  }

  function settled(): void {
    if (--open > 0) return;
    const waiting = quiet;
    quiet = [];
    for (const resolve of waiting) resolve();
  }

  const subscription = bus.subscribe(subject, { queue }, (message) => {
    if (message.reply === '') {
      inbox.stats.withoutReply++;
      return;
    }
    if (message.subject !== subject || !isInboxSubject(message.reply)) {
      inbox.stats.malformed++;
      return;
    }
    const invocation = readInvocation(message.payload);
    if ('malformed' in invocation) {
      // The id that the Rust host puts where it could read none.
      refuse(message, 'UNKNOWN', 'wasmbus', invocation.malformed);
      return;
    }
    const served = handlers.get(invocation.operation);
    if (served === undefined) {
      refuse(message, invocation.id, 'wasmbus', 'no such operation');
      return;
    }
    open++;
    served.handle(new WasmbusMessage({ inbox, store, message, invocation, shape: served.fn.shape, failed, settled }));
  });

  return {
    async drain() {
      await subscription.drain();
      // An answer may still be on its way into the object store when its call has left the path.
      if (open > 0) await new Promise<void>((resolve) => quiet.push(resolve));
    },
    unsubscribe: () => subscription.unsubscribe(),
  };
}
