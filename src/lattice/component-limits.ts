/** Limits as `component.scale` may carry them, read. A key that is absent or cannot be read leaves the host's own limit alone. */
export interface ComponentLimits {
  /** Linear memory of one instance, bytes, 1 or more. */
  readonly maxMemoryBytes?: number;
  /** Longest run of one invocation, milliseconds, 1,000 or more. */
  readonly maxExecutionTimeMs?: number;
}

/** Reads `max_memory_limit` (bytes) and `max_execution_time` (seconds), both decimal texts; 1.x hosts pass over what is none, too. */
export function componentLimits(limits: Readonly<Record<string, string>> | undefined): ComponentLimits {
  const memory = positive(limits, 'max_memory_limit');
  const seconds = positive(limits, 'max_execution_time');
  return {
    ...(memory === undefined ? {} : { maxMemoryBytes: memory }),
    ...(seconds === undefined ? {} : { maxExecutionTimeMs: seconds * 1_000 }),
  };
}

function positive(limits: Readonly<Record<string, string>> | undefined, key: string): number | undefined {
  const text = limits !== undefined && Object.hasOwn(limits, key) ? limits[key] : undefined;
  // Twelve digits are a terabyte and 30,000 years; more would only lose precision.
  return typeof text === 'string' && /^[0-9]{1,12}$/.test(text) && Number(text) > 0 ? Number(text) : undefined;
}
