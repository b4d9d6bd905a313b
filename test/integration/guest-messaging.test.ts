import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtGuest } from '../support/built-guest.ts';
import { startTwoHosts, type TwoHosts } from '../support/two-hosts.ts';

const hex = (text: string): { hex: string } => ({ hex: Buffer.from(text).toString('hex') });

/** Components that handle messages and send some, on one host; a broker on another; both under `enforce`. */
let lab: TwoHosts;
beforeAll(async () => {
  const [courier, herald, post] = await Promise.all(['courier', 'herald', 'post'].map(builtGuest));
  const messaging = { namespace: 'wasmcloud', package: 'messaging' };
  lab = await startTwoHosts(
    {
      front: [
        { id: 'courier', file: courier!.file },
        { id: 'herald', file: herald!.file },
      ],
      back: [{ id: 'post', file: post!.file, policy: 'reuse', maxInstances: 1 }],
      links: [
        { source: 'courier', target: 'post', ...messaging, interfaces: ['consumer'] },
        { source: 'herald', target: 'post', ...messaging, interfaces: ['consumer'] },
        { source: 'herald', name: 'extra', target: 'post', ...messaging, interfaces: ['producer'] },
      ],
    },
    ['courier wasmcloud:messaging/handler', 'herald wasmcloud:messaging/incoming-handler', 'post wasmcloud:messaging/consumer'],
  );
});
afterAll(() => lab[Symbol.asyncDispose]());

const handle = (component: string, subject: string, body: string, replyTo?: string): Promise<unknown> =>
  lab.call(component, 'handler.handle-message', {
    subject,
    body: hex(body),
    'reply-to': replyTo === undefined ? null : { some: replyTo },
  });
/** What was published last on a subject. */
const published = (subject: string): Promise<unknown> => lab.call('post', 'consumer.request', subject, hex(''), 10);

describe('wasmcloud:messaging@0.2.0', () => {
  const outer = (replyTo?: string): Promise<unknown> => handle('courier', 'outer', 'hi', replyTo);

  it('is handled, and sent', async () => {
    expect(await outer('answers')).toEqual({ ok: null });
    expect(await published('answers')).toEqual({ ok: { subject: 'answers', body: hex('hi!'), 'reply-to': null } });
  });

  it('fails in words of the one who failed', async () => {
    expect(await outer()).toEqual({ err: 'nobody to answer on outer' });
    expect(await outer('closed')).toEqual({ err: 'the broker is closed' });
  });
});

describe('wasmcloud:messaging@0.3.0', () => {
  const tell = (subject: string, body = 'hi', replyTo?: string): Promise<unknown> => handle('herald', subject, body, replyTo);

  it('is handled, asked and answered by peers of 0.2.0', async () => {
    expect(await tell('ask', 'what', 'told')).toEqual({ ok: null });
    expect(await published('told')).toEqual({ ok: { subject: 'told', body: hex('what!'), 'reply-to': null } });
    expect(await tell('old')).toEqual({ ok: null });
    expect(await published('old')).toMatchObject({ ok: { body: hex('hi') } });
  });

  it('sends along the link that a client is called after', async () => {
    expect(await tell('news', 'extra')).toEqual({ ok: null });
    expect(await published('news')).toMatchObject({ ok: { body: hex('extra') } });
    expect(await tell('news', 'missing')).toEqual({ err: 'TRELLIS_LINK_MISSING' });
    expect(await tell('news', 'no link.>')).toEqual({ err: 'a client is called after a link' });
  });

  it('fails in words, and does not trap', async () => {
    expect(await tell('closed')).toEqual({ err: 'the broker is closed' });
    expect(await tell('ask')).toEqual({ err: 'the sender of the message wants no reply' });
    expect(await tell('unasked')).toEqual({ err: 'a message that was not received has no sender' });
    expect(await tell('gone')).toEqual({ err: 'the client is disconnected' });
    expect(await tell('late')).toEqual({ err: 'timeout' });
  });

  it('keeps what the wire has no place for in the message, and sends no metadata', async () => {
    const seen = ['labelled', 'text/plain', [['a', '3']], 'metadata cannot be sent along a link'];
    expect(await tell('labelled')).toEqual({ err: JSON.stringify(seen) });
    expect(await published('plain')).toMatchObject({ ok: { body: hex('hi') } });
  });
});
