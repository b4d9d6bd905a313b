import type { FetchedArtifact } from '../component/artifact.ts';
import type { EmbeddedClaims } from '../component/claims.ts';
import type { RunningComponent } from '../component/component.ts';
import { startComponent } from '../component/component-host.ts';
import type { Registries } from '../component/oci/registries.ts';
import { preflight } from '../component/preflight.ts';
import { transpileComponent } from '../component/transpile.ts';
import { asComponent } from '../component/wrapped-module.ts';
import type { ComponentConfig, HostConfig } from '../config/schema.ts';
import { serveDescription } from '../control/describe.ts';
import { TrellisError } from '../errors.ts';
import { type ComponentId, componentId } from '../ids.ts';
import type { Admission } from '../invocation/admit.ts';
import { createGate } from '../invocation/gate.ts';
import type { LinkTable } from '../invocation/link-table.ts';
import type { PathObserver } from '../invocation/observer.ts';
import { createPath } from '../invocation/path.ts';
import type { PathOptions } from '../invocation/path-options.ts';
import { isEngineFunction, subscribeComponent } from '../invocation/subscribe.ts';
import { entityOf, WasmbusImports } from '../invocation/wasmbus/imports.ts';
import { operationsOf } from '../invocation/wasmbus/operations.ts';
import { serveWasmbus, type ServeWasmbusOptions } from '../invocation/wasmbus/serve.ts';
import type { Member } from '../member.ts';
import type { Audit } from '../telemetry/audit.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { WasmbusEntity } from '../wasmbus/messages.ts';
import type { ComponentTypes } from '../wit/types.ts';
import { wireTypes } from '../wit/wire/wire-forms.ts';
import type { BusSubscription } from '../wrpc/bus.ts';
import { runnerPorts } from './runner-ports.ts';

/** A component that a host runs, with the subscriptions by which the lattice reaches it. */
export interface ServedComponent {
  readonly id: string;
  readonly digest: string;
  /** What admission counts its invocations under: two revisions of one component may run while one takes the other's place. */
  readonly revision: string;
  readonly component: RunningComponent;
  readonly subscriptions: readonly BusSubscription[];
  /** What it was made with. */
  readonly settings: ComponentConfig;
  /** What it says of itself, verified. */
  readonly claims: EmbeddedClaims | undefined;
  /** Lets so many invocations run at once from now on, 1 or more; what runs goes on. */
  scale(maxInstances: number): void;
}

/** The bytes of a component, from wherever they came. */
export interface ComponentProgram extends Pick<FetchedArtifact, 'bytes' | 'digest'> {
  /** Embedded in it, and verified. */
  readonly claims?: EmbeddedClaims | undefined;
}

/** What a host gives each component it serves. */
export interface ServeOptions {
  readonly config: HostConfig;
  readonly member: Member;
  readonly links: LinkTable;
  /** Where components come from that are no files. */
  readonly registries: Registries;
  readonly admission: Admission;
  readonly observer: PathObserver;
  readonly audit: Audit;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** True once the host is ending: nothing more is started. */
  readonly stopping: () => boolean;
}

/** A component that runs and that nobody can reach yet. */
export interface PreparedComponent {
  readonly id: string;
  readonly component: RunningComponent;
  /** Subscribes it. Flush both connections before calling it served. */
  serve(): ServedComponent;
}

/** What `work` comes to. @throws what it throws, saying which component it is about */
export async function ofComponent<T>(component: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof TrellisError)) throw error;
    throw new TrellisError(error.code, {
      message: `component ${component}: ${error.message}`,
      remedy: error.remedy,
      details: { ...error.details, component },
      cause: error.cause,
    });
  }
}

/** The types as the lattice may use them: without what the guest's language engine exports for itself. */
function offered(types: ComponentTypes): ComponentTypes {
  const exports = types.exports
    .map((wit) => ({ ...wit, functions: wit.functions.filter((fn) => !isEngineFunction(wit.name, fn.wireName)) }))
    .filter((wit) => wit.functions.length > 0);
  return { ...types, exports };
}

/** How long translating a component may take. */
const TRANSLATE_MS = 60_000;

let revisions = 0;

/** True if each call of a component shall run once in the lattice, not once on each host. */
function runsOnce(settings: ComponentConfig, { trust }: HostConfig): boolean {
  return trust.verify === 'enforce' && (settings.replay ?? trust.replay) === 'cluster';
}

/** What peers of wasmCloud 0.82 find of a component: looked at before anything of it runs. */
function legacyOf(
  id: ComponentId,
  entity: WasmbusEntity,
  types: ComponentTypes,
): Pick<ServeWasmbusOptions, 'entity' | 'operations'> {
  return { entity, operations: operationsOf({ id, entity, types }) };
}

/**
 * From the bytes of a component to a runner: check, translate, run. `undefined` if the host began to end meanwhile.
 * @throws TRELLIS_COMPONENT_*, TRELLIS_WIT_*, TRELLIS_RUNNER_START
 */
export async function prepareComponent(
  settings: ComponentConfig,
  options: ServeOptions,
  artifact: ComponentProgram,
): Promise<PreparedComponent | undefined> {
  if (options.stopping()) return undefined;
  const { config, log, member } = options;
  const id = componentId(settings.id);
  const maxMemoryBytes = settings.maxMemoryBytes ?? config.limits.maxLinearMemoryBytes;
  const timeoutMs = settings.timeoutMs ?? config.limits.maxExecutionTimeMs;
  const { cacheDir } = config;
  const maxBytes = config.limits.maxComponentSizeBytes;
  const program = await asComponent(artifact.bytes, { maxBytes, cacheDir, timeoutMs: TRANSLATE_MS });
  const checked = preflight(program, { maxBytes });
  if (settings.wasmbus !== undefined && runsOnce(settings, config)) {
    throw new TrellisError('TRELLIS_WASMBUS_IDENTITY', {
      message:
        'it has a wasmbus key, and its calls shall run once in the lattice, which a caller of wasmCloud 0.82 cannot confirm',
      remedy: 'Set replay: local for this component, or remove wasmbus.',
    });
  }
  const legacy = settings.wasmbus === undefined ? undefined : legacyOf(id, entityOf(settings.wasmbus), checked.types);
  const transpiled = await transpileComponent(program, checked, {
    cacheDir,
    limits: { maxMemoryBytes },
    timeoutMs: TRANSLATE_MS,
  });
  // Another component may have failed the start, or somebody stopped it, while this one was being translated.
  if (options.stopping()) return undefined;
  const component = await startComponent(
    {
      id,
      transpiled,
      types: checked.types,
      policy: settings.policy,
      maxInstances: settings.maxInstances,
      maxQueue: settings.maxQueue,
      maxMemoryBytes,
      maxParamsBytes: config.limits.maxParamsBytes,
      maxResultBytes: config.limits.maxResultBytes,
      timeoutMs,
      env: settings.env,
      args: settings.args,
      config: settings.config,
      grants: settings.grants,
    },
    runnerPorts(new WasmbusImports(checked.types, settings.wasmbus), options),
  );
  if (options.stopping()) {
    await component.stop();
    return undefined;
  }
  const revision = `${id} ${++revisions}`;
  let { maxInstances } = settings;
  const path: PathOptions = {
    id,
    revision,
    component,
    timeoutMs,
    get maxInFlight() {
      return maxInstances + settings.maxQueue;
    },
    admission: options.admission,
    gate: createGate(config.trust.verify, member.requests, {
      pairs: member.unsigned,
      links: options.links,
      introductions: member.introductions,
    }),
    foreign: member.foreign,
    signer: member.signer,
    introductions: member.introductions,
    limits: {
      maxParamsBytes: config.limits.maxParamsBytes,
      maxCallDepth: config.limits.maxCallDepth,
      paramsTimeoutMs: Math.min(timeoutMs, 10_000),
    },
    confirm: runsOnce(settings, config),
    observer: options.observer,
    clock: member.clock,
    refusals: member.refusals,
  };
  const serve = (): ServedComponent => {
    const subscriptions = subscribeComponent({
      bus: member.rpc,
      inbox: member.inbox,
      lattice: member.lattice,
      id,
      component,
      ...(settings.world === undefined ? {} : { worldName: settings.world }),
      handler: createPath(path),
    });
    subscriptions.push(
      serveDescription(
        member.ctl,
        member.lattice,
        id,
        { id, digest: artifact.digest, types: offered(wireTypes(checked.types)) },
        () => options.audit.record({ kind: 'control', code: 'ok', component: id, operation: 'component.describe' }),
      ),
    );
    if (legacy !== undefined) {
      subscriptions.push(
        serveWasmbus({
          bus: member.rpc,
          inbox: member.inbox,
          lattice: member.lattice,
          ...legacy,
          verifier: member.wasmbus.verifier,
          store: member.wasmbus.store,
          path,
          failed: (code, detail) => log.warn({ code, detail, component: id }, 'a payload of wasmCloud 0.82 was lost'),
        }),
      );
      log.info(
        { component: id, key: legacy.entity.publicKey, operations: [...legacy.operations.keys()] },
        'served to wasmCloud 0.82 peers',
      );
    }
    log.info(
      { component: id, digest: artifact.digest, functions: component.exports.length, policy: settings.policy },
      'component served',
    );
    const scale = (next: number): void => {
      maxInstances = next;
      component.setMaxInstances(next);
    };
    return { id, digest: artifact.digest, claims: artifact.claims, revision, component, subscriptions, settings, scale };
  };
  return { id, component, serve };
}
