import { afterAll, beforeAll, describe, it } from 'vitest';
import { CACHE_DIR } from '../support/cache-dir.ts';
import { blocksIn, DocumentRun, type Server, textOf } from '../support/document.ts';
import { freePort } from '../support/free-port.ts';

describe('docs/leaf.md', () => {
  let tour: DocumentRun;
  let servers: readonly Server[];
  const ports = new Map<string, number>();
  /** The ports that the document shows may be taken. */
  const moved = (commands: string): string =>
    commands.replaceAll(/127\.0\.0\.1:(\d+)/g, (_, port: string) => `127.0.0.1:${ports.get(port)}`);
  beforeAll(async () => {
    tour = new DocumentRun();
    for (const port of ['4222', '7422', '4322', '8322']) ports.set(port, freePort());
    // Translated once for all tests.
    tour.setEnv({ TRELLIS_CACHE_DIR: CACHE_DIR });
    const server = (conf: string, ready: RegExp): Server => ({
      starts: `nats-server -c ${conf}`,
      as: `exec "$NATS_SERVER" -c ${conf}`,
      ready,
      stop: 'SIGTERM',
    });
    servers = [
      server('.trellis/leaf/hub/nats-server.conf', /Server is ready/),
      server('.trellis/leaf/leaf.conf', /JetStream using domains[^]*JetStream using domains/),
      { starts: 'node host.js --config', as: '', ready: /"msg":"ready"/, stop: 'SIGTERM' },
    ];
  });
  afterAll(() => tour.close());

  for (const block of blocksIn(textOf('docs/leaf.md'))) {
    it(block.commands.trim().split('\n').join('; ').slice(0, 120), async () => {
      await tour.play({ ...block, commands: moved(block.commands) }, servers);
    });
  }
});
