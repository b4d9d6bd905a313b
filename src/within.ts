/** Resolves when `work` ends, either way, or after `timeoutMs`. */
export async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  // A step that fails has nothing left to wait for.
  await Promise.race([work.catch(() => undefined), expired]);
  clearTimeout(timer);
}
