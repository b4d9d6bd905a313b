import { linkKey } from '../../ids.ts';
import { AsyncValues } from '../../wit/async-values.ts';
import { compileFunction, type CodecOptions, type FunctionCodec } from '../../wit/codec.ts';
import { camelCase, type WitFunction } from '../../wit/types.ts';
import { wireFormsOfImport } from '../../wit/wire/wire-forms.ts';
import { RootSource, sendPending } from './async-values.ts';
import { className, holdsHandle } from './exports.ts';
import { FLAG, FRAME, readPathFrame, type FrameWriter } from './frames.ts';
import { importedFunctions, type NumberedFunction } from './functions.ts';
import { foreignResource, type Handles } from './handles.ts';
import { ImportFailed } from './import-failed.ts';
import type { ImportIds } from './import-ids.ts';
import type { Instance } from './instances.ts';
import type { RunnerStart } from './start.ts';
import { twinImports, type WireCalls } from './twins/twins.ts';
import { WitError } from './wasi/wit-error.ts';

interface LinkedFunction extends NumberedFunction {
  readonly codec: FunctionCodec;
}

type Member = (...values: unknown[]) => Promise<unknown>;

/** The functions of a component's imports that have another form on the wire: by their names there. */
const nameOf = (instance: string, func: string): string => `${instance} ${func}`;

/** An import that waits for its answer. */
interface Waiting {
  readonly callId: number;
  readonly instance: Instance;
  readonly linked: LinkedFunction;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly sending: AbortController;
  /** Receives async results, once the root has come. */
  values: AsyncValues | undefined;
}

/** What {@link LinkImports} is made of. */
export interface LinkImportsOptions {
  readonly writer: FrameWriter;
  readonly handles: Handles;
  readonly ids: ImportIds;
  /** Whether the instance itself brings an interface (WASI). */
  builtin(interfaceName: string): boolean;
}

/** The imports that are links: calls that the host sends to other components. Each belongs to a call, and ends with it. */
export class LinkImports {
  readonly #start: RunnerStart;
  readonly #writer: FrameWriter;
  readonly #handles: Handles;
  readonly #linked: readonly LinkedFunction[];
  /** Imported interfaces that have another form on the wire, and the functions of that form. */
  readonly #twins: readonly string[];
  readonly #wire: ReadonlyMap<string, LinkedFunction>;
  /** The interfaces of those that the guest does not import by their own names, too. */
  readonly #hidden: ReadonlySet<string>;
  /** The instance whose answer is being decoded. */
  #taker: Instance | undefined;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ids: ImportIds;
  /** Told when a call cannot go on: an answer that it already works with is broken, or a value would travel unsigned. */
  onBroken: (callId: number, reason: string, status?: 'trap' | 'unsigned-values') => void = () => {};

  constructor(start: RunnerStart, { writer, handles, ids, builtin }: LinkImportsOptions) {
    this.#start = start;
    this.#writer = writer;
    this.#handles = handles;
    this.#ids = ids;
    const options: CodecOptions = {
      handles: {
        encode: (_kind, _resource, value) => handles.encode(value),
        decode: (_kind, resource, bytes) => this.#foreign(resource, bytes),
      },
    };
    this.#linked = importedFunctions(start.types)
      .filter(({ instance }) => !builtin(instance))
      .map((numbered) => ({ ...numbered, codec: compileFunction(numbered.fn, options) }));
    this.#twins = start.types.imports.map(({ name }) => name).filter((name) => wireFormsOfImport(name) !== undefined);
    const wire = new Set(this.#twins.flatMap((name) => wireFormsOfImport(name)!.map((form) => form.name)));
    this.#hidden = new Set([...wire].filter((name) => !start.types.imports.some((wit) => wit.name === name)));
    this.#wire = new Map(
      this.#linked
        .filter(({ instance }) => wire.has(instance))
        .map((linked) => [nameOf(linked.instance, linked.fn.wireName), linked]),
    );
  }

  /** Calls in the form on the wire, for the interfaces whose guests have another one. */
  wireCalls(instance: Instance): WireCalls {
    return (wireInstance, func, values, link) => {
      const linked = this.#wire.get(nameOf(wireInstance, func));
      return linked === undefined
        ? Promise.reject(new Error(`${wireInstance} is not imported`))
        : this.#call(instance, linked, values, link);
    };
  }

  /** The imports object for one instance. */
  for(instance: Instance): Record<string, unknown> {
    const imports: Record<string, Record<string, unknown>> = {};
    if (this.#twins.length > 0) {
      const offered = twinImports(this.wireCalls(instance), instance.lifetime);
      for (const name of this.#twins) {
        // HTTP comes with the rest of `wasi:http`.
        if (offered[name] !== undefined) imports[name] = offered[name] as Record<string, unknown>;
      }
    }
    for (const linked of this.#linked) {
      if (this.#hidden.has(linked.instance)) continue;
      const call: Member = (...values) => this.#call(instance, linked, values);
      const { fn } = linked;
      if (linked.instance === '') {
        imports[fn.name] = { default: call };
        continue;
      }
      const home = (imports[linked.instance] ??= {});
      const member = /^\[(constructor|method|static)\]([^.]+)(?:\.(.+))?$/.exec(fn.name);
      for (const resource of resourcesIn(linked.fn)) {
        const made = (home[className(resource)] ??= newClass()) as { prototype: object };
        instance.foreign.set(resource, made);
      }
      if (member === null) home[camelCase(fn.name)] = call;
      else addMember(home[className(member[2]!)] as ResourceClass, member[1]!, camelCase(member[3] ?? ''), call);
    }
    return imports;
  }

  #foreign(resource: string, handle: Uint8Array): object {
    const made = this.#taker?.foreign.get(resource);
    if (made === undefined) throw new Error(`a ${resource} cannot be received here`);
    return foreignResource(made.prototype, handle);
  }

  /** Takes an `importResult` frame. */
  onResult(id: number, frame: Uint8Array): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || waiting.values !== undefined) return;
    const { linked } = waiting;
    const values =
      linked.asyncResult && (frame[0]! & FLAG.eof) === 0
        ? new AsyncValues({
            onFault: (reason) => this.onBroken(waiting.callId, `the answer of ${linked.fn.wireName}: ${reason}`),
          })
        : undefined;
    this.#taker = waiting.instance;
    const source = linked.asyncResult ? new RootSource(values) : undefined;
    const decoded = linked.codec.decodeResult(frame.subarray(1), source);
    this.#taker = undefined;
    if (!decoded.ok) {
      this.#waiting.delete(id);
      if (source?.refused === true) {
        this.onBroken(waiting.callId, `the answer of ${linked.fn.wireName} has values outside of it`, 'unsigned-values');
      }
      waiting.reject(new Error(`the answer of ${linked.fn.wireName} does not fit its type: ${decoded.reason}`));
      return;
    }
    if (values === undefined) this.#waiting.delete(id);
    else waiting.values = values;
    const [value] = decoded.values;
    if (linked.fn.result?.kind !== 'result') {
      waiting.resolve(value);
      return;
    }
    const { tag, val } = value as { tag: 'ok' | 'err'; val?: unknown };
    if (tag === 'ok') waiting.resolve(val);
    else waiting.reject(new WitError(val) as unknown as Error);
  }

  /** Takes an `importPath` frame. */
  onPath(id: number, body: Buffer): void {
    const piece = readPathFrame(body);
    if (piece === undefined) return;
    this.#waiting.get(id)?.values?.push(piece.path, piece.bytes, piece.eof);
  }

  /** Takes an `importFail` frame. */
  onFail(id: number, reason: string): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    // After the root: the guest holds streams that will not go on, and must not take them for whole.
    waiting.values?.fail(reason);
    waiting.reject(new ImportFailed(`${waiting.linked.instance}.${waiting.linked.fn.wireName}`, reason));
  }

  /** Ends every import of a call: each rejects, because a guest that waits for ever is never freed. */
  endCall(callId: number): void {
    if (this.#waiting.size === 0) return;
    for (const [id, waiting] of this.#waiting) {
      if (waiting.callId !== callId) continue;
      this.#waiting.delete(id);
      this.#writer.bare(FRAME.importCancel, id);
      waiting.sending.abort(new Error('the call has ended'));
      waiting.reject(new Error('the call has ended'));
    }
  }

  async #call(instance: Instance, linked: LinkedFunction, given: readonly unknown[], chosen?: string): Promise<unknown> {
    const { callId } = instance;
    const name = `${linked.instance}.${linked.fn.wireName}`;
    if (callId === 0) throw new Error(`${name} was called outside of a call`);
    this.#handles.giver = instance;
    const encoded = linked.codec.encodeParams(given);
    this.#handles.giver = undefined;
    if (!encoded.ok) throw new Error(`parameters for ${name}: ${encoded.reason}`);
    const { bytes, pending } = encoded;
    if (bytes.length > this.#start.maxParamsBytes) throw new Error(`parameters for ${name} are too large: ${bytes.length} bytes`);
    const id = this.#ids.take((open) => this.#waiting.has(open));
    const link = chosen ?? instance.linkNames.get(linkKey(linked.instance)) ?? '';
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const sending = new AbortController();
    this.#waiting.set(id, { callId, instance, linked, resolve, reject, sending, values: undefined });
    const writer = this.#writer;
    writer.open(FRAME.import, id, 8 + link.length + bytes.length);
    writer.u32(callId);
    writer.u16(linked.index);
    writer.u8(pending.length > 0 ? FLAG.pending : 0);
    writer.u8(link.length);
    for (let index = 0; index < link.length; index++) writer.u8(link.charCodeAt(index));
    writer.bytes(bytes);
    if (pending.length > 0) {
      const target = { writer, type: FRAME.importParams, id, maxBytes: this.#start.maxParamsBytes, signal: sending.signal };
      sendPending(pending, target).catch((error: unknown) => {
        writer.bare(FRAME.importCancel, id);
        this.onFail(id, `its parameters could not be sent: ${String(error)}`);
      });
    }
    return promise;
  }
}

type ResourceClass = { readonly prototype: Record<string, unknown> } & Record<string, unknown>;

/** A class for a resource of another component: its methods are calls, its objects hold their handle (`handles.ts`). */
function newClass(): unknown {
  return function Resource(): never {
    // The generated code makes objects synchronously, and an answer takes time.
    throw new Error('a resource of another component cannot be constructed; call a function that returns one');
  };
}

function addMember(owner: ResourceClass, kind: string, name: string, call: Member): void {
  if (kind === 'static') owner[name] = call;
  else if (kind === 'method') {
    owner.prototype[name] = function (this: unknown, ...values: unknown[]): Promise<unknown> {
      return call(this, ...values);
    };
  }
}

/** Names of the resources that a function belongs to or mentions. */
function resourcesIn(fn: WitFunction): Set<string> {
  const names = new Set<string>();
  const member = /^\[(?:constructor|method|static)\]([^.]+)/.exec(fn.name);
  if (member !== null) names.add(member[1]!);
  if (!holdsHandle(fn.result) && !fn.params.some((param) => holdsHandle(param.type))) return names;
  const types = JSON.stringify([fn.result, fn.params.map((param) => param.type)]);
  for (const [, name] of types.matchAll(/"kind":"(?:own|borrow)","name":"([^"]+)"/g)) names.add(name!);
  return names;
}
