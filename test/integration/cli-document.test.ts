import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { blocksIn, DocumentRun, type Server, textOf } from '../support/document.ts';

const SERVERS: readonly Server[] = [
  // The port that it would take may be taken.
  { starts: 'npm start', as: 'npm start -- --port 0', ready: /Ctrl-C drains/, stop: 'SIGINT' },
];

describe('docs/cli.md', () => {
  let tour: DocumentRun;
  beforeAll(() => {
    tour = new DocumentRun();
  });
  afterAll(() => tour.close());

  for (const block of blocksIn(textOf('docs/cli.md'))) {
    it(block.commands.trim().split('\n').join('; ').slice(0, 120), { timeout: 240_000 }, async () => {
      await tour.play(block, SERVERS);
    });
  }

  it('ends what it began by its last command', async () => {
    const [started] = tour.running;
    await started!.ended;
    expect(started!.text()).toContain('Stopped.');
  });
});
