import type { Json } from '../../support/golden.ts';

const hex = (text: string): Json => ({ hex: Buffer.from(text).toString('hex') });

/** A call of a component, by JSON. */
interface CallStep {
  readonly call: readonly [component: string, operation: string, ...args: Json[]];
}

/** A request to the HTTP server provider; `{elsewhere}` in a header stands for the authority of a server of the test. */
interface HttpStep {
  readonly http: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A message to the broker, whose answer is waited for. */
interface MessageStep {
  readonly message: string;
}

export type ProviderStep = CallStep | HttpStep | MessageStep;

const blobs = (id: string): ProviderStep[] => [
  { call: [id, 'shelves.make', 'books'] },
  { call: [id, 'shelves.open', 'books'] },
  { call: [id, 'shelves.open', 'none'] },
  { call: [id, 'shelves.write', 'books', 'a', hex('hello')] },
  { call: [id, 'shelves.write', 'books', 'b', hex('x'.repeat(5000))] },
  { call: [id, 'shelves.read', 'books', 'a', 1, 3] },
  { call: [id, 'shelves.read-slowly', 'books', 'b'] },
  { call: [id, 'shelves.about', 'books', 'a'] },
  { call: [id, 'shelves.names', 'books'] },
  { call: [id, 'shelves.tidy', 'books'] },
];

/** What is done with each provider for the recording. */
export const PROVIDER_STEPS: Readonly<Record<string, readonly ProviderStep[]>> = {
  'http-server': [
    { http: '/info?x=1' },
    { http: '/echo', body: 'some words' },
    { http: '/echo', body: 'y'.repeat(5000) },
    { http: '/empty' },
    { http: '/elsewhere' },
    { http: '/error' },
  ],
  'http-client': [{ http: '/forward', body: 'words', headers: { 'x-to': '{elsewhere}' } }],
  keyvalue: [
    { call: ['notebook', 'notes.put', 'box', 'k', hex('v')] },
    { call: ['notebook', 'notes.read', 'box', 'k'] },
    { call: ['notebook', 'notes.read', 'box', 'other'] },
    { call: ['notebook', 'notes.forget', 'box', 'k'] },
    { call: ['notebook', 'notes.many', 'lot'] },
    { call: ['notebook', 'notes.keys-from', 'lot', null] },
    { call: ['notebook', 'notes.count', 'numbers', 'n', 2] },
    { call: ['notebook', 'notes.put', 'lot', 'd', hex('')] },
    { call: ['notebook', 'notes.count', 'lot', 'd', 1] },
    { call: ['notebook', 'notes.read', 'missing', 'k'] },
    { call: ['notebook', 'notes.put', 'closed', 'k', hex('v')] },
  ],
  'blobstore-fs': blobs('librarian'),
  'blobstore-nats': blobs('archivist'),
  'messaging-nats': [{ message: 'words' }],
};
