import { exportedFunctions } from '../../component/runner/functions.ts';
import { TrellisError } from '../../errors.ts';
import { type ComponentId, functionName, instanceName } from '../../ids.ts';
import type { WasmbusAddressee } from '../../trust/verify-wasmbus.ts';
import type { WasmbusEntity } from '../../wasmbus/messages.ts';
import { interfaceParts, operationName } from '../../wasmbus/operation.ts';
import type { ResultShape } from '../../wasmbus/payload.ts';
import type { ComponentTypes, WitFunction, WitType } from '../../wit/types.ts';
import type { ServedFunction } from '../path-options.ts';

/** A function that peers of 0.82 can call. */
export interface WasmbusFunction extends ServedFunction, WasmbusAddressee {
  readonly shape: ResultShape;
}

function isBytes(type: WitType | null | undefined): boolean {
  return type?.kind === 'list' && type.elem.kind === 'u8';
}

/**
 * How the result of a function stands to a payload, or `undefined` if it is not of the form that 0.82 can call: one parameter
 * `list<u8>`, and as result `list<u8>`, `result<list<u8>, string>`, `result<_, string>` or nothing.
 */
export function shapeOf({ params, result }: WitFunction): ResultShape | undefined {
  if (params.length !== 1 || !isBytes(params[0]?.type)) return undefined;
  if (result === null) return 'nothing';
  if (isBytes(result)) return 'bytes';
  if (result.kind !== 'result' || result.err?.kind !== 'string') return undefined;
  if (result.ok === null) return 'nothing-or-error';
  return isBytes(result.ok) ? 'bytes-or-error' : undefined;
}

/** What {@link operationsOf} looks at. */
export interface OperationsOptions {
  readonly id: ComponentId;
  readonly entity: WasmbusEntity;
  readonly types: ComponentTypes;
}

/**
 * The operations under which peers of 0.82 reach a component: `Interface.Method` of each export of the right form; for a
 * provider, of its contract alone. @throws TRELLIS_WASMBUS_OPERATIONS if there is none, or one name stands for two functions
 */
export function operationsOf({ id, entity, types }: OperationsOptions): ReadonlyMap<string, WasmbusFunction> {
  const operations = new Map<string, WasmbusFunction>();
  for (const { instance, fn, index } of exportedFunctions(types)) {
    const parts = interfaceParts(instance);
    const shape = shapeOf(fn);
    if (parts === undefined || shape === undefined) continue;
    if (entity.contractId !== '' && parts.contract !== entity.contractId) continue;
    const operation = operationName(parts.face, fn.wireName);
    const other = operations.get(operation);
    if (other !== undefined) {
      throw new TrellisError('TRELLIS_WASMBUS_OPERATIONS', {
        message: `${operation} would stand for ${other.operation} and for ${instance}/${fn.wireName}`,
      });
    }
    operations.set(operation, {
      target: id,
      instance: instanceName(instance),
      func: functionName(fn.wireName),
      exportIndex: index,
      asyncParams: false,
      asyncResult: false,
      operation: `${instance}/${fn.wireName}`,
      entity,
      contract: parts.contract,
      shape,
    });
  }
  if (operations.size === 0) {
    throw new TrellisError('TRELLIS_WASMBUS_OPERATIONS', {
      message: 'no function that it exports takes a list<u8> and gives a list<u8> or nothing, or a result of these',
    });
  }
  return operations;
}
