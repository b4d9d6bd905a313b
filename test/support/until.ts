/**
 * Resolves as soon as `ready` holds. It has a minute by default, for a test says what happens and not how fast the machine is: give less
 * only where the time itself is what is promised. Rejects when it did not happen.
 */
export async function until(ready: () => boolean | Promise<boolean>, withinMs = 60_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!(await ready())) {
    if (performance.now() > endMs) throw new Error(`did not happen in ${withinMs} ms: ${String(ready)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
