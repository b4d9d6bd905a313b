/** Aborts on the first Ctrl-C or SIGTERM; a second one ends the process as ever. For commands that go on until they are stopped. */
export function untilStopped(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort());
  return controller.signal;
}
