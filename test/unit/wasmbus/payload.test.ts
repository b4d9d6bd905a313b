import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { interfaceParts, operationName } from '../../../src/wasmbus/operation.ts';
import {
  answerOfResult,
  paramsOfPayload,
  payloadOfParams,
  resultOfAnswer,
  type ResultShape,
} from '../../../src/wasmbus/payload.ts';

const SHAPES: readonly ResultShape[] = ['bytes', 'bytes-or-error', 'nothing-or-error', 'nothing'];
const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex');

describe('payloads as list<u8>', () => {
  it('adds the length, and nothing else', () => {
    expect(hex(paramsOfPayload(Buffer.from('abc')))).toBe('03616263');
    expect(hex(paramsOfPayload(Buffer.alloc(0)))).toBe('00');
    expect(hex(paramsOfPayload(Buffer.alloc(200)).subarray(0, 3))).toBe('c80100');
  });

  it('strips the length and the tag of a result', () => {
    expect(hex(answerOfResult(Buffer.from('03616263', 'hex'), 'bytes')?.msg)).toBe('616263');
    expect(hex(answerOfResult(Buffer.from('0003616263', 'hex'), 'bytes-or-error')?.msg)).toBe('616263');
    expect(answerOfResult(Buffer.from('01026e6f', 'hex'), 'bytes-or-error')).toEqual({ error: 'no' });
    expect(answerOfResult(Buffer.from('01026e6f', 'hex'), 'nothing-or-error')).toEqual({ error: 'no' });
    expect(hex(answerOfResult(Buffer.of(0), 'nothing-or-error')?.msg)).toBe('');
    expect(hex(answerOfResult(Buffer.alloc(0), 'nothing')?.msg)).toBe('');
  });

  it('takes no other bytes for a list', () => {
    for (const bad of ['', '04616263', '0261626364', '80', 'ffffffffff01', '808080808000'])
      expect(payloadOfParams(Buffer.from(bad, 'hex'))).toBeUndefined();
    expect(answerOfResult(Buffer.from('0201', 'hex'), 'bytes-or-error')).toBeUndefined();
    expect(answerOfResult(Buffer.from('0101ff', 'hex'), 'bytes-or-error')).toBeUndefined();
    expect(answerOfResult(Buffer.of(0, 0), 'nothing-or-error')).toBeUndefined();
    expect(answerOfResult(Buffer.of(0), 'nothing')).toBeUndefined();
  });

  it('has no place for an error where the function declares none', () => {
    expect(resultOfAnswer({ error: 'no' }, 'bytes')).toBeUndefined();
    expect(resultOfAnswer({ error: 'no' }, 'nothing')).toBeUndefined();
    expect(hex(resultOfAnswer({ error: 'no' }, 'nothing-or-error'))).toBe('01026e6f');
    expect(hex(resultOfAnswer({ msg: Buffer.from('x') }, 'nothing-or-error'))).toBe('00');
    expect(hex(resultOfAnswer({ msg: Buffer.from('x') }, 'nothing'))).toBe('');
  });

  it('goes both ways unchanged, and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40_000 }), fc.constantFrom(...SHAPES), (bytes, shape) => {
        expect(hex(payloadOfParams(paramsOfPayload(bytes)))).toBe(hex(bytes));
        const result = resultOfAnswer({ msg: bytes }, shape)!;
        expect(hex(answerOfResult(result, shape)?.msg)).toBe(shape.startsWith('bytes') ? hex(bytes) : '');
        answerOfResult(bytes, shape);
        payloadOfParams(bytes);
      }),
    );
  });
});

describe('names of operations', () => {
  it('writes each word with a capital letter', () => {
    expect(operationName('test-operation', 'handle-test')).toBe('TestOperation.HandleTest');
    expect(operationName('key-value', 'get')).toBe('KeyValue.Get');
    expect(operationName('HTTP-server', 'handle-request')).toBe('HTTPServer.HandleRequest');
  });

  it('takes contract and interface from the name of the instance, and no version', () => {
    expect(interfaceParts('wasmcloud:testoperation/test-operation@1.0.0')).toEqual({
      contract: 'wasmcloud:testoperation',
      face: 'test-operation',
    });
    expect(interfaceParts('a:b/c')).toEqual({ contract: 'a:b', face: 'c' });
    expect(interfaceParts('')).toBeUndefined();
    expect(interfaceParts('plain')).toBeUndefined();
  });
});
