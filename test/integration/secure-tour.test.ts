import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findNatsServer } from '../../src/nats/server.ts';
import { blocksIn, DocumentRun, type Server, textOf } from '../support/document.ts';
import { freePort } from '../support/free-port.ts';

const SERVERS: readonly Server[] = [
  { starts: 'PATH="$PATH:.trellis/bin" nats-server', as: '', ready: /Server is ready/, stop: 'SIGTERM' },
  { starts: 'node host.js --config', as: '', ready: /"msg":"ready"/, stop: 'SIGTERM' },
];

describe('docs/secure-tour.md', () => {
  let tour: DocumentRun;
  let port: number;
  beforeAll(async () => {
    tour = new DocumentRun();
    tour.setEnv({
      PATH: `${process.env['PATH']}:${dirname(findNatsServer().path)}`,
      // As the document says of root.
      ...(process.getuid?.() === 0 ? { TRELLIS_ALLOW: 'root' } : {}),
    });
    port = freePort();
  });
  afterAll(() => tour.close());

  for (const block of blocksIn(textOf('docs/secure-tour.md'))) {
    it(block.commands.trim().split('\n').join('; ').slice(0, 120), async () => {
      // The port that the document shows may be taken.
      const commands = block.commands.replaceAll('4333', String(port));
      const output = block.output.map((line) => line.replaceAll('4333', String(port)));
      await tour.play({ ...block, commands, output }, SERVERS);
    });
  }

  it('ends when it is told to', async () => {
    expect(tour.running).toHaveLength(3);
    for (const { child, stop, ended } of tour.running.toReversed()) {
      process.kill(-child.pid!, stop);
      await ended;
    }
  });
});
