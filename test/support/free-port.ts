import { existsSync, readFileSync } from 'node:fs';

const given = new Set<number>();
/** Tests that run beside each other each have ports of their own: one may take a while to listen where another looks. */
const FIRST = 20_000 + (Number(process.env['VITEST_POOL_ID'] ?? 0) % 10) * 1_000;

/**
 * A port on which nobody listens, and not given before. It is outside of the range from which the system takes the ports of clients and of
 * servers that want any: nothing else takes it before the test does.
 */
export function freePort(): number {
  const tables = ['/proc/net/tcp', '/proc/net/tcp6']
    .filter((path) => existsSync(path))
    .map((path) => readFileSync(path, 'latin1'));
  const used = new Set(
    tables.flatMap((text) =>
      [...text.matchAll(/^ *\d+: [0-9A-F]+:([0-9A-F]{4}) /gm)].map(([, hex]) => Number.parseInt(hex!, 16)),
    ),
  );
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * 1_000);
    if (used.has(port) || given.has(port)) continue;
    given.add(port);
    return port;
  }
}
