import { compileFunction, type CodecOptions, type FunctionCodec } from '../../wit/codec.ts';
import { camelCase, type ComponentTypes, type WitType } from '../../wit/types.ts';
import { exportedFunctions, type NumberedExport } from './functions.ts';
import type { Handles } from './handles.ts';
import type { Instance } from './instances.ts';
import type { Namespace } from './loaded-component.ts';
import { twinExports, type GuestFunctions } from './twins/twins.ts';

type AnyFunction = (...values: unknown[]) => unknown;
type AnyClass = (new (...values: unknown[]) => object) & Record<string, AnyFunction>;

/** A function that a component exports, ready to be called in any of its instances. */
export interface ExportedFunction extends NumberedExport {
  readonly codec: FunctionCodec;
  /** Whether a parameter can hold a resource, which belongs to one instance. */
  readonly handlesIn: boolean;
  /** Whether the result can. */
  readonly handlesOut: boolean;
  /** The result type if it is a `result`, whose error case the generated code throws. */
  readonly declared: (WitType & { readonly kind: 'result' }) | undefined;
  /** Calls it in an instance; throws, or rejects, what the guest does. */
  invoke(instance: Instance, values: unknown[]): unknown;
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
    invoke: numbered.guestInstance === undefined ? invoker(numbered) : twinInvoker(numbered.guestInstance, numbered),
  }));
}

/** True if values of `type` can hold a resource. */
export function holdsHandle(type: WitType | null): boolean {
  // Types are plain data, and no name of theirs can be taken for a kind.
  return type !== null && /"kind":"(?:own|borrow)"/.test(JSON.stringify(type));
}

/** Of an interface that the wire has in another form. */
function twinInvoker(guestInstance: string, { fn }: NumberedExport): ExportedFunction['invoke'] {
  const name = camelCase(fn.name);
  return (instance, values) => {
    const guest = instance.exports[guestInstance] as GuestFunctions;
    return twinExports(guestInstance, guest, instance.twins)[name]!(...values);
  };
}

function invoker({ instance, fn }: NumberedExport): ExportedFunction['invoke'] {
  const member = /^\[(constructor|method|static)\]([^.]+)(?:\.(.+))?$/.exec(fn.name);
  const home = ({ exports }: Instance): Namespace => (instance === '' ? exports : (exports[instance] as Namespace));
  if (member === null) {
    const name = camelCase(fn.name);
    return (guest, values) => (home(guest)[name] as AnyFunction)(...values);
  }
  const owner = className(member[2]!);
  const name = camelCase(member[3] ?? '');
  const classOf = (guest: Instance): AnyClass => home(guest)[owner] as AnyClass;
  if (member[1] === 'constructor') return (guest, values) => new (classOf(guest))(...values);
  if (member[1] === 'static') return (guest, values) => classOf(guest)[name]!(...values);
  return (_guest, [self, ...values]) => (self as Record<string, AnyFunction>)[name]!(...values);
}
