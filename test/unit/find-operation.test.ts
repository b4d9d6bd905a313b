import { describe, expect, it } from 'vitest';
import { findOperation, operationName } from '../../src/cli/find-operation.ts';
import type { ComponentTypes, WitFunction } from '../../src/wit/types.ts';

const fn = (name: string): WitFunction => ({
  name,
  wireName: name.replace(/^\[\w+\]/, ''),
  params: [],
  result: null,
  async: false,
});
const types: ComponentTypes = {
  imports: [],
  exports: [
    { name: '', functions: [fn('shout')] },
    { name: 'a:b/greeting@0.1.0', functions: [fn('greet'), fn('[method]counter.up')] },
    { name: 'a:b/farewell@0.1.0', functions: [fn('greet'), fn('leave')] },
  ],
};

describe('findOperation', () => {
  it.each([
    ['a:b/greeting@0.1.0.greet', 'a:b/greeting@0.1.0.greet'],
    ['a:b/greeting.greet', 'a:b/greeting@0.1.0.greet'],
    ['farewell.greet', 'a:b/farewell@0.1.0.greet'],
    ['leave', 'a:b/farewell@0.1.0.leave'],
    ['counter.up', 'a:b/greeting@0.1.0.counter.up'],
    ['shout', 'shout'],
  ])('takes %s for %s', (name, full) => {
    expect(operationName(findOperation(types, name))).toBe(full);
  });

  it('names all that an ambiguous name could mean', () => {
    expect(() => findOperation(types, 'greet')).toThrow(
      /several functions: a:b\/greeting@0\.1\.0\.greet, a:b\/farewell@0\.1\.0\.greet/,
    );
  });

  it('suggests the nearest name', () => {
    expect(() => findOperation(types, 'farewell.leve')).toThrow(/did you mean "leave"/);
    expect(() => findOperation({ imports: [], exports: [] }, 'x')).toThrow(/it exports: nothing/);
  });
});
