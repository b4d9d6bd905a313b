import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtGuest } from '../support/built-guest.ts';
import { startTwoHosts, type TwoHosts } from '../support/two-hosts.ts';

const hex = (text: string): { hex: string } => ({ hex: Buffer.from(text).toString('hex') });

/** A component that handles messages and sends some, on one host; a broker on another; both under `enforce`. */
describe('wasmcloud:messaging', () => {
  let lab: TwoHosts;
  beforeAll(async () => {
    const [courier, post] = await Promise.all([builtGuest('courier'), builtGuest('post')]);
    lab = await startTwoHosts(
      {
        front: [{ id: 'courier', file: courier.file }],
        back: [{ id: 'post', file: post.file, policy: 'reuse', maxInstances: 1 }],
        links: [{ source: 'courier', target: 'post', namespace: 'wasmcloud', package: 'messaging', interfaces: ['consumer'] }],
      },
      ['courier wasmcloud:messaging/handler', 'post wasmcloud:messaging/consumer'],
    );
  }, 120_000);
  afterAll(() => lab[Symbol.asyncDispose]());
  const handle = (replyTo: string | undefined): Promise<unknown> =>
    lab.call('courier', 'handler.handle-message', {
      subject: 'outer',
      body: hex('hi'),
      'reply-to': replyTo === undefined ? null : { some: replyTo },
    });

  it('is handled, and sent', async () => {
    expect(await handle('answers')).toEqual({ ok: null });
    expect(await lab.call('post', 'consumer.request', 'answers', hex(''), 10)).toEqual({
      ok: { subject: 'answers', body: hex('hi!'), 'reply-to': null },
    });
  });

  it('fails in words of the one who failed', async () => {
    expect(await handle(undefined)).toEqual({ err: 'nobody to answer on outer' });
    expect(await handle('closed')).toEqual({ err: 'the broker is closed' });
  });
});
