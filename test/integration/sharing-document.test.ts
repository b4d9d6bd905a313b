import { afterAll, beforeAll, describe, it } from 'vitest';
import { CACHE_DIR } from '../support/cache-dir.ts';
import { blocksIn, DocumentRun, type Server, textOf } from '../support/document.ts';
import { freePort } from '../support/free-port.ts';

describe('docs/sharing.md', () => {
  let tour: DocumentRun;
  let servers: readonly Server[];
  let address: string;
  beforeAll(async () => {
    tour = new DocumentRun();
    // The port that the document shows may be taken.
    address = `127.0.0.1:${freePort()}`;
    tour.setEnv({ TRELLIS_CACHE_DIR: CACHE_DIR });
    tour.setEnv({ TRELLIS_CTL_SERVERS: `nats://${address}`, TRELLIS_RPC_SERVERS: `nats://${address}` });
    const conf = '.trellis/sharing/nats/nats-server.conf';
    const as = `sed -i 's/127.0.0.1:4222/${address}/' ${conf}; exec "$NATS_SERVER" -c ${conf}`;
    servers = [
      { starts: 'nats-server -c', as, ready: /Server is ready/, stop: 'SIGTERM' },
      { starts: 'node host.js --config', as: '', ready: /"msg":"ready"/, stop: 'SIGTERM' },
    ];
  });
  afterAll(() => tour.close());

  for (const block of blocksIn(textOf('docs/sharing.md'))) {
    const exported = /^export (\w+)=(\S+)\n$/.exec(block.commands);
    it(block.commands.trim().split('\n').join('; ').slice(0, 120), async () => {
      if (exported !== null) tour.setEnv({ [exported[1]!]: exported[2]! });
      else await tour.play({ ...block, commands: block.commands.replaceAll('127.0.0.1:4222', address) }, servers);
    });
  }
});
