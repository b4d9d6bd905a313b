import { realpathSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { ComponentPorts, ComponentSpec } from './component.ts';
import type { SupervisorOptions } from './supervisor.ts';

const MIB = 1024 * 1024;
/** Room for a runner beside its guests' memories: Node itself, compiled code, the values of calls. */
const RUNNER_OVERHEAD_BYTES = 192 * MIB;
/** Room in a frame beside parameters or a result. */
const FRAME_OVERHEAD_BYTES = 4_096;
const START_TIMEOUT_MS = 30_000;
const CALLS_PER_INSTANCE = 100_000;

/** Part of the machine's memory that one runner may use. */
const SHARE = 0.8;

/** Memory of the machine, or of the container where that has less. */
function memoryBytes(): number {
  const total = totalmem();
  return Math.min(total, process.constrainedMemory() || total);
}

/** Largest root parameters of a call or an import, bytes. */
export function maxParamsBytes(spec: ComponentSpec): number {
  return spec.maxParamsBytes ?? 16 * MIB;
}

/** Imports that one call may make. */
export function maxImportsPerCall(spec: ComponentSpec): number {
  return spec.maxImportsPerCall ?? 1_000;
}

/**
 * What the runner of a component is given: its files, its limits, and what to start, with what can change of it as it is at that
 * time. Throws if the folder of the component is gone.
 */
export function supervisorOptions(
  spec: ComponentSpec,
  ports: ComponentPorts,
  now: () => Pick<ComponentSpec, 'config' | 'maxInstances'>,
): SupervisorOptions {
  const { id, transpiled, types, policy, maxMemoryBytes, maxResultBytes, env, args, grants } = spec;
  // Permissions are checked against real paths, and the cache may be reached through a link.
  const dir = realpathSync(transpiled.dir);
  const preopens = grants.preopens ?? [];
  const maxBytes = Math.max(maxResultBytes, maxParamsBytes(spec));
  // Code without waits runs one instance at a time; beside it there are spares, and memories not yet collected.
  const instances = (): number => (transpiled.asyncMode === 'sync' ? 4 : now().maxInstances);
  return {
    component: id,
    process: {
      artifactDir: dir,
      readable: preopens.map((preopen) => preopen.host),
      writable: preopens.filter((preopen) => preopen.writable).map((preopen) => preopen.host),
      network: (grants.network ?? []).length > 0,
      maxMemoryBytes,
      maxHeapMiB: Math.max(128, Math.ceil((8 * maxBytes) / MIB)),
    },
    start: () => ({
      entry: join(dir, transpiled.entry),
      dir,
      asyncMode: transpiled.asyncMode,
      types,
      policy,
      callsPerInstance: CALLS_PER_INSTANCE,
      maxParamsBytes: maxParamsBytes(spec),
      maxResultBytes,
      env,
      args,
      grants,
      ...now(),
    }),
    maxFrameBytes: maxBytes + FRAME_OVERHEAD_BYTES,
    startTimeoutMs: spec.startTimeoutMs ?? START_TIMEOUT_MS,
    // However many instances there may be: one component must not take the machine from the others.
    maxRssBytes: () => Math.min(RUNNER_OVERHEAD_BYTES + 4 * maxBytes + instances() * maxMemoryBytes, SHARE * memoryBytes()),
    clock: ports.clock,
    log: ports.log,
  };
}
