import { TrellisError, type ErrorCode } from '../../errors.ts';
import { isPeerKey } from '../../ids.ts';
import type { WasmbusEntity } from '../../wasmbus/messages.ts';
import { interfaceParts, operationName } from '../../wasmbus/operation.ts';
import type { ResultShape } from '../../wasmbus/payload.ts';
import type { ComponentTypes } from '../../wit/types.ts';
import type { Link } from '../link-table.ts';
import type { WasmbusCall } from './invoke.ts';
import { shapeOf } from './operations.ts';

/** A component's 0.82 identity as it is configured. */
export interface WasmbusIdentity {
  /** `M…` an actor, `V…` a provider. */
  readonly key: string;
  /** Link of a provider; `default` if left out. */
  readonly link?: string | undefined;
  /** Contract of a provider, such as `wasmcloud:keyvalue`. */
  readonly contract?: string | undefined;
}

/**
 * The entity of an identity: an actor has neither contract nor link, a provider has both.
 * @throws TRELLIS_WASMBUS_IDENTITY
 */
export function entityOf({ key, link, contract }: WasmbusIdentity): WasmbusEntity {
  if (isPeerKey(key) && key.startsWith('M') && link === undefined && contract === undefined) {
    return { publicKey: key, linkName: '', contractId: '' };
  }
  if (isPeerKey(key) && key.startsWith('V') && contract !== undefined) {
    return { publicKey: key, linkName: link ?? 'default', contractId: contract };
  }
  throw new TrellisError('TRELLIS_WASMBUS_IDENTITY');
}

/** A call that cannot be made. */
export interface NoCall {
  readonly code: ErrorCode;
  readonly detail: string;
}

/** What an import along a link to a peer of 0.82 becomes. */
export type ImportCall = Pick<WasmbusCall, 'origin' | 'target' | 'operation' | 'shape'>;

/**
 * How the imports of one component become calls of 0.82: operation by the names of interface and function, contract by the
 * link or else by the package.
 */
export class WasmbusImports {
  readonly #shapes = new Map<string, ResultShape | undefined>();
  readonly #origin: WasmbusEntity | undefined;

  /** @param identity The calling component's own, which peers are told as the origin. */
  constructor(types: ComponentTypes, identity: WasmbusIdentity | undefined) {
    for (const wit of types.imports) {
      for (const fn of wit.functions) this.#shapes.set(`${wit.name} ${fn.wireName}`, shapeOf(fn));
    }
    this.#origin = identity === undefined ? undefined : entityOf(identity);
  }

  /** The call for an import, or why there is none. */
  callFor(link: Link, instance: string, func: string): ImportCall | NoCall {
    const parts = interfaceParts(instance);
    const shape = this.#shapes.get(`${instance} ${func}`);
    if (parts === undefined || shape === undefined) {
      return { code: 'TRELLIS_WASMBUS_FUNCTION', detail: `${instance}/${func} is not of the form list<u8> to list<u8>` };
    }
    if (this.#origin === undefined) {
      return { code: 'TRELLIS_WASMBUS_IDENTITY', detail: `${link.source} has no wasmbus.key that its peer could be told` };
    }
    const provider = link.target.startsWith('V');
    const target: WasmbusEntity = {
      publicKey: link.target,
      linkName: provider ? link.name : '',
      contractId: provider ? (link.wasmbus?.contract ?? parts.contract) : '',
    };
    return { origin: this.#origin, target, operation: operationName(parts.face, func), shape };
  }
}
