import { z } from 'zod';
import { count, MIB, setting } from './values.ts';

/** Limits of the whole host. */
export const limitsSchema = z.strictObject({
  maxExecutionTimeMs: setting(
    count(1, 86_400_000).default(30_000),
    'Longest run of one invocation. 30 s, not the 600 s of wasmCloud 1.x: tokens live 30 s, and a caller that waits longer has usually gone.',
    { env: ['WASMCLOUD_MAX_EXECUTION_TIME_MS'], flags: ['--max-execution-time-ms'] },
  ),
  maxLinearMemoryBytes: setting(
    count(65_536, 4 * 1024 * MIB).default(256 * MIB),
    'Linear memory one instance may grow to, unless its component says less.',
    { env: ['WASMCLOUD_MAX_LINEAR_MEMORY'], flags: ['--max-linear-memory-bytes'] },
  ),
  maxComponentSizeBytes: setting(count(1_024, 1024 * MIB).default(50 * MIB), 'Largest component file that is loaded.', {
    env: ['WASMCLOUD_MAX_COMPONENT_SIZE'],
    flags: ['--max-component-size-bytes'],
  }),
  maxComponents: setting(
    count(1, 10_000).default(100),
    'Components this host runs. Each is a process of about 55 MB, so fewer than the 10,000 of wasmCloud 1.x.',
    { env: ['WASMCLOUD_MAX_COMPONENTS'], flags: ['--max-components'] },
  ),
  maxInstances: setting(
    count(1, 10_000).default(256),
    'Invocations of one component at once that the lattice can ask for when it scales it; also what no limit (4294967295) then means.',
  ),
  maxInFlight: setting(count(1, 1_000_000).default(2_048), 'Invocations in this host at once; more are answered busy.'),
  maxInFlightPerOrigin: setting(count(1, 1_000_000).default(512), 'Invocations at once from one origin.'),
  maxParamsBytes: setting(
    count(1_024, 1024 * MIB).default(16 * MIB),
    'Largest parameters of one invocation, all chunks together.',
  ),
  maxResultBytes: setting(count(1_024, 1024 * MIB).default(16 * MIB), 'Largest result of one invocation, all chunks together.'),
  maxCallDepth: setting(count(1, 256).default(16), 'Longest chain of components calling components.'),
});
