import { compileFunction, type CodecOptions, type FunctionCodec } from '../../wit/codec.ts';
import { camelCase, type ComponentTypes, type WitType } from '../../wit/types.ts';
import { exportedFunctions, type NumberedFunction } from './functions.ts';
import type { Handles } from './handles.ts';
import type { Namespace } from './loaded-component.ts';

type AnyFunction = (...values: unknown[]) => unknown;
type AnyClass = (new (...values: unknown[]) => object) & Record<string, AnyFunction>;

/** A function that a component exports, ready to be called in any of its instances. */
export interface ExportedFunction extends NumberedFunction {
  readonly codec: FunctionCodec;
  /** Whether a parameter can hold a resource, which belongs to one instance. */
  readonly handlesIn: boolean;
  /** Whether the result can. */
  readonly handlesOut: boolean;
  /** The result type if it is a `result`, whose error case the generated code throws. */
  readonly declared: (WitType & { readonly kind: 'result' }) | undefined;
  /** Calls it; throws, or rejects, what the guest does. */
  invoke(exports: Namespace, values: unknown[]): unknown;
}

/** `Counter` for `counter`: how the generated code names the class of a resource. */
export function className(resource: string): string {
  const camel = camelCase(resource);
  return camel.charAt(0).toUpperCase() + camel.slice(1);
}

/** The exported functions, by their numbers. Throws TRELLIS_WIT_* for a type that cannot be encoded. */
export function bindExports(types: ComponentTypes, handles: Handles): readonly ExportedFunction[] {
  const options: CodecOptions = {
    handles: {
      encode: (_kind, _resource, value) => handles.encode(value),
      decode: (kind, _resource, bytes) => handles.decode(kind, bytes),
    },
  };
  return exportedFunctions(types).map((numbered) => ({
    ...numbered,
    codec: compileFunction(numbered.fn, options),
    handlesIn: numbered.fn.params.some((param) => holdsHandle(param.type)),
    handlesOut: holdsHandle(numbered.fn.result),
    declared: numbered.fn.result?.kind === 'result' ? numbered.fn.result : undefined,
    invoke: invoker(numbered),
  }));
}

/** True if values of `type` can hold a resource. */
export function holdsHandle(type: WitType | null): boolean {
  // Types are plain data, and no name of theirs can be taken for a kind.
  return type !== null && /"kind":"(?:own|borrow)"/.test(JSON.stringify(type));
}

function invoker({ instance, fn }: NumberedFunction): ExportedFunction['invoke'] {
  const member = /^\[(constructor|method|static)\]([^.]+)(?:\.(.+))?$/.exec(fn.name);
  const home = (exports: Namespace): Namespace => (instance === '' ? exports : (exports[instance] as Namespace));
  if (member === null) {
    const name = camelCase(fn.name);
    return (exports, values) => (home(exports)[name] as AnyFunction)(...values);
  }
  const owner = className(member[2]!);
  const name = camelCase(member[3] ?? '');
  const classOf = (exports: Namespace): AnyClass => home(exports)[owner] as AnyClass;
  if (member[1] === 'constructor') return (exports, values) => new (classOf(exports))(...values);
  if (member[1] === 'static') return (exports, values) => classOf(exports)[name]!(...values);
  return (_exports, [self, ...values]) => (self as Record<string, AnyFunction>)[name]!(...values);
}
