import { describe, expect, it } from 'vitest';
import { componentId } from '../../../src/ids.ts';
import { LinkTable } from '../../../src/invocation/link-table.ts';
import { entityOf, WasmbusImports } from '../../../src/invocation/wasmbus/imports.ts';
import { operationsOf, shapeOf } from '../../../src/invocation/wasmbus/operations.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import type { WitFunction, WitType } from '../../../src/wit/types.ts';

const BYTES: WitType = { kind: 'list', elem: { kind: 'u8' } };
const TEXT: WitType = { kind: 'string' };
const ACTOR = SigningKey.generate('module').publicKey;
const PROVIDER = SigningKey.generate('service').publicKey;

function fn(name: string, params: readonly WitType[] = [BYTES], result: WitType | null = BYTES): WitFunction {
  return { name, wireName: name, params: params.map((type, n) => ({ name: `p${n}`, type })), result, async: false };
}

function operations(names: Record<string, readonly WitFunction[]>, contractId = '') {
  const exports = Object.entries(names).map(([name, functions]) => ({ name, functions }));
  const entity = { publicKey: contractId === '' ? ACTOR : PROVIDER, linkName: '', contractId };
  return operationsOf({ id: componentId('c'), entity, types: { imports: [], exports } });
}

describe('functions that 0.82 can call', () => {
  it('take one list of bytes and give bytes, nothing, or a result of these with a text as its error', () => {
    const result = (ok: WitType | null, err: WitType | null): WitType => ({ kind: 'result', ok, err });
    expect(shapeOf(fn('f'))).toBe('bytes');
    expect(shapeOf(fn('f', [BYTES], null))).toBe('nothing');
    expect(shapeOf(fn('f', [BYTES], result(BYTES, TEXT)))).toBe('bytes-or-error');
    expect(shapeOf(fn('f', [BYTES], result(null, TEXT)))).toBe('nothing-or-error');
    for (const other of [
      fn('f', []),
      fn('f', [BYTES, BYTES]),
      fn('f', [TEXT]),
      fn('f', [BYTES], TEXT),
      fn('f', [BYTES], result(BYTES, null)),
      fn('f', [BYTES], result(BYTES, BYTES)),
      fn('f', [BYTES], result(TEXT, TEXT)),
      fn('f', [BYTES], { kind: 'list', elem: { kind: 's8' } }),
      fn('f', [{ kind: 'stream', elem: { kind: 'u8' } }]),
    ]) {
      expect(shapeOf(other)).toBeUndefined();
    }
  });

  it('are found by operation; those of other shapes, of the world, and of other contracts are not', () => {
    const found = operations({
      'n:p/key-value@1.0.0': [fn('get'), fn('typed', [TEXT])],
      '': [fn('get')],
      'n:q/store': [fn('put')],
    });
    expect([...found.keys()]).toEqual(['KeyValue.Get', 'Store.Put']);
    expect(found.get('Store.Put')).toMatchObject({ instance: 'n:q/store', func: 'put', exportIndex: 3, contract: 'n:q' });
    expect([...operations({ 'n:p/a': [fn('f')], 'n:q/b': [fn('g')] }, 'n:q').keys()]).toEqual(['B.G']);
  });

  it('are refused when there is none, or one name would stand for two', () => {
    const code = 'TRELLIS_WASMBUS_OPERATIONS';
    expect(() => operations({ 'n:p/a': [fn('f', [TEXT])] })).toThrow(expect.objectContaining({ code }));
    expect(() => operations({ 'n:p/a': [fn('f')], 'n:q/a': [fn('f')] })).toThrow(expect.objectContaining({ code }));
    expect(() => operations({ 'n:p/a': [fn('get-2'), fn('get2')] })).toThrow(expect.objectContaining({ code }));
  });
});

describe('identities', () => {
  it('are an actor alone or a provider with its contract', () => {
    expect(entityOf({ key: ACTOR })).toEqual({ publicKey: ACTOR, linkName: '', contractId: '' });
    expect(entityOf({ key: PROVIDER, contract: 'n:p' })).toEqual({ publicKey: PROVIDER, linkName: 'default', contractId: 'n:p' });
    for (const wrong of [{ key: ACTOR, contract: 'n:p' }, { key: ACTOR, link: 'x' }, { key: PROVIDER }, { key: 'M' }]) {
      expect(() => entityOf(wrong)).toThrow(expect.objectContaining({ code: 'TRELLIS_WASMBUS_IDENTITY' }));
    }
  });
});

describe('links', () => {
  const link = { source: 'a', target: PROVIDER, name: 'l', namespace: 'n', package: 'p', interfaces: ['key-value'] };

  it('let a peer have several targets under one name, and tell a peer as the target apart', () => {
    const table = new LinkTable([
      { ...link, source: ACTOR, target: 'one' },
      { ...link, source: ACTOR, target: 'two' },
      { ...link, wasmbus: {} },
    ]);
    expect(table.allows(ACTOR, 'l', 'n:p/key-value@1.0.0', 'one')).toBe(true);
    expect(table.allows(ACTOR, 'l', 'n:p/key-value', 'two')).toBe(true);
    expect(table.allows(ACTOR, 'l', 'n:p/key-value', 'three')).toBe(false);
    expect(table.allows(ACTOR, 'other', 'n:p/key-value', 'one')).toBe(false);
    expect(table.legacy('a', 'l', 'n:p/key-value@0.1.0')).toMatchObject({ target: PROVIDER });
    expect(table.legacy(ACTOR, 'l', 'n:p/key-value')).toBeUndefined();
  });

  it('make calls of imports: operation by name, contract by package or link, and nothing of an actor', () => {
    const types = { imports: [{ name: 'n:p/key-value@1.0.0', functions: [fn('get-all'), fn('typed', [TEXT])] }], exports: [] };
    const imports = new WasmbusImports(types, { key: ACTOR });
    const instance = 'n:p/key-value@1.0.0';
    expect(imports.callFor({ ...link, wasmbus: {} }, instance, 'get-all')).toEqual({
      origin: { publicKey: ACTOR, linkName: '', contractId: '' },
      target: { publicKey: PROVIDER, linkName: 'l', contractId: 'n:p' },
      operation: 'KeyValue.GetAll',
      shape: 'bytes',
    });
    const named = imports.callFor({ ...link, wasmbus: { contract: 'wasmcloud:keyvalue' } }, instance, 'get-all');
    expect(named).toMatchObject({ target: { contractId: 'wasmcloud:keyvalue' } });
    const toActor = imports.callFor({ ...link, target: ACTOR, wasmbus: {} }, instance, 'get-all');
    expect(toActor).toMatchObject({ target: { publicKey: ACTOR, linkName: '', contractId: '' } });
    expect(imports.callFor({ ...link, wasmbus: {} }, instance, 'typed')).toMatchObject({ code: 'TRELLIS_WASMBUS_FUNCTION' });
    const unnamed = new WasmbusImports(types, undefined);
    expect(unnamed.callFor({ ...link, wasmbus: {} }, instance, 'get-all')).toMatchObject({ code: 'TRELLIS_WASMBUS_IDENTITY' });
  });
});
