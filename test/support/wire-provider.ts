import type { ComponentExport, RunningComponent } from '../../src/component/component.ts';
import type { HostConfig } from '../../src/config/schema.ts';
import { memberKey } from '../../src/identity/member-key.ts';
import { componentId } from '../../src/ids.ts';
import { Admission } from '../../src/invocation/admit.ts';
import { createGate } from '../../src/invocation/gate.ts';
import { LinkTable } from '../../src/invocation/link-table.ts';
import { createObserver } from '../../src/invocation/observer.ts';
import { createPath } from '../../src/invocation/path.ts';
import { subscribeComponent } from '../../src/invocation/subscribe.ts';
import { joinLattice, type Member } from '../../src/member.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { AsyncValues } from '../../src/wit/async-values.ts';
import { compileFunction, type FunctionCodec } from '../../src/wit/codec.ts';
import { pump } from '../../src/wit/pump.ts';
import type { WitInterface } from '../../src/wit/types.ts';
import type { RawPeer, RawService } from './raw-peer.ts';

/** Values in, values out; what is thrown is the error of the result. */
export type WireFunctions = Readonly<Record<string, (...values: never[]) => unknown>>;

const EMPTY = new Uint8Array(0);

/** Decodes parameters, runs the function, and gives the result: `root` first, then what is pending in it. */
async function answer(
  codec: FunctionCodec,
  run: WireFunctions[string],
  params: Uint8Array,
  later: AsyncValues,
  out: { root(bytes: Uint8Array, hasPending: boolean): void; path(path: string, bytes: Uint8Array, end: boolean): void },
): Promise<void> {
  const decoded = codec.decodeParams(params, later);
  if (!decoded.ok) throw new Error(decoded.reason);
  let result: unknown;
  try {
    result = { tag: 'ok', val: await run(...(decoded.values as never[])) };
  } catch (error) {
    result = { tag: 'err', val: error };
  }
  const encoded = codec.encodeResult(result);
  if (!encoded.ok) throw new Error(encoded.reason);
  out.root(encoded.bytes, encoded.pending.length > 0);
  await pump(encoded.pending, (path, bytes, end) => out.path(path.join('.'), bytes, end));
}

/**
 * Serves an interface as a provider of 1.x does: without signatures, with streams on paths of their own. Parameters fit one message, but
 * for their streams. Ends with the peer.
 */
export async function serveWire(peer: RawPeer, target: string, wit: WitInterface, functions: WireFunctions): Promise<void> {
  for (const fn of wit.functions) {
    const codec = compileFunction(fn);
    await peer.serve(`default.${target}.wrpc.0.0.1.${wit.name}.${fn.name}`, (service: RawService) => {
      const later = new AsyncValues();
      service.onFrame = ({ tail, data }) => {
        if (tail.startsWith('.params.')) later.push(tail.slice('.params.'.length), data, data.length === 0);
      };
      service.acknowledge();
      answer(codec, functions[fn.name]!, service.payload, later, {
        root: (bytes) => service.results([bytes, EMPTY]),
        path: (path, bytes, end) => service.results(end ? [bytes, EMPTY] : [bytes], `.${path}`),
      }).catch((error: unknown) => peer.faults.push(`${fn.name}: ${String(error)}`));
    });
  }
}

/** A member that signs and serves without a runner. */
export interface SigningProvider extends AsyncDisposable {
  readonly member: Member;
  /** What went wrong where nobody waits for it. */
  readonly faults: string[];
}

/** Serves an interface as a member of the lattice that signs: on the path of every component, with these functions behind it. */
export async function startSigningProvider(
  config: HostConfig,
  name: string,
  wit: WitInterface,
  functions: (member: Member) => WireFunctions,
): Promise<SigningProvider> {
  const id = componentId(name);
  const links = new LinkTable(config.links);
  const observer = createObserver(silentLogger(), createMetrics({ eventLoop: false }));
  const member = await joinLattice({
    config,
    log: silentLogger(),
    key: await memberKey(config),
    scope: { origins: [id], targets: [id] },
    links,
    observer,
    name,
  });
  const faults: string[] = [];
  const served = functions(member);
  const codecs = wit.functions.map((fn) => compileFunction(fn));
  const call: RunningComponent['call'] = ({ exportIndex, params, pending }, events) => {
    const later = new AsyncValues();
    if (pending === 'refuse') later.fail('nothing may come beside the root');
    answer(codecs[exportIndex]!, served[wit.functions[exportIndex]!.name]!, new Uint8Array(params), later, {
      root: (bytes, hasPending) => events.result(bytes, hasPending),
      path: (path, bytes, end) => events.path(path, bytes, end),
    })
      .then(() => events.done())
      .catch((error: unknown) => {
        faults.push(`${wit.functions[exportIndex]!.name}: ${String(error)}`);
        events.fail('error', String(error));
      });
    return {
      params: (path, bytes, eof) => void (path === '' || later.push(path, bytes, eof)),
      cancel: () => later.fail('the call is over'),
    };
  };
  const exports = wit.functions.map((fn, index): ComponentExport => {
    const { hasAsyncParams: asyncParams, hasAsyncResult: asyncResult } = codecs[index]!;
    return { index, instance: wit.name, func: fn.name, asyncParams, asyncResult };
  });
  subscribeComponent({
    bus: member.rpc,
    inbox: member.inbox,
    lattice: member.lattice,
    id,
    component: { exports } as unknown as RunningComponent,
    handler: createPath({
      id,
      revision: id,
      component: { call },
      timeoutMs: 20_000,
      maxInFlight: 16,
      admission: new Admission({ maxInFlight: 100, maxInFlightPerOrigin: 100 }),
      gate: createGate(config.trust.verify, member.requests, {
        pairs: member.unsigned,
        links,
        introductions: member.introductions,
      }),
      foreign: member.foreign,
      signer: member.signer,
      introductions: member.introductions,
      limits: { maxParamsBytes: 2 ** 24, maxCallDepth: 8, paramsTimeoutMs: 10_000 },
      confirm: false,
      observer,
      clock: member.clock,
      refusals: member.refusals,
    }),
  });
  await member.rpc.flush();
  return { member, faults, [Symbol.asyncDispose]: () => member.close() };
}
