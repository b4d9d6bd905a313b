import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judge } from '../../../src/control/interface/intake.ts';
import { latticeName } from '../../../src/ids.ts';
import { controlRoot, controlSubscriptions } from '../../../src/lattice/control-subjects.ts';
import type { BusMessage } from '../../../src/wrpc/bus.ts';

const HOST = `N${'A'.repeat(55)}`;
const ROOT = controlRoot('wasmbus.ctl', latticeName('lab'));
const SUBSCRIPTIONS = controlSubscriptions(ROOT, HOST, { component: true, provider: true });
const INBOX = '_INBOX.abc.1';

interface Sent {
  readonly subject: string;
  readonly reply?: string;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a message is on the subscription of its noun, or on any. */
function judged({ subject, reply = INBOX, status = 0, headers = {} }: Sent, silentRegistries = false, at?: number) {
  const message = { subject, reply, status, header: (name: string) => headers[name] } as unknown as BusMessage;
  const noun = subject.slice(ROOT.length + 1).split('.')[0];
  const own = SUBSCRIPTIONS.find((each) => each.noun === noun) ?? SUBSCRIPTIONS[0]!;
  return judge(message, at === undefined ? own : SUBSCRIPTIONS[at]!, { root: ROOT, host: HOST, silentRegistries });
}

describe('a message on a control subject', () => {
  it('is a request with an inbox for the answer', () => {
    expect(judged({ subject: `${ROOT}.host.ping` })).toMatchObject({ request: { operation: 'host.ping' } });
    expect(judged({ subject: `${ROOT}.host.ping`, reply: '_R_.x.1' })).toHaveProperty('request');
    expect(judged({ subject: `${ROOT}.config.frob.x` })).toMatchObject({ request: { operation: undefined } });
  });

  it.each([
    ['without an inbox', { subject: `${ROOT}.host.ping`, reply: '' }],
    ['with a control subject for the answer', { subject: `${ROOT}.host.ping`, reply: `${ROOT}.host.stop.${HOST}` }],
    ['with an acknowledgement of JetStream for the answer', { subject: `${ROOT}.host.ping`, reply: '$JS.ACK.s.c.1.1.1.1.0' }],
    ['that is a status', { subject: `${ROOT}.host.ping`, status: 503 }],
    ['of a stream', { subject: `${ROOT}.host.ping`, headers: { 'Nats-Stream': 'KV_x' } }],
    ['of another lattice', { subject: 'wasmbus.ctl.v1.other.host.ping' }],
    ['to another host', { subject: `${ROOT}.host.stop.N${'B'.repeat(55)}` }],
    ['that a consumer delivers', { subject: '$KV.LATTICEDATA_lab.x', reply: '$JS.ACK.s.c.1.1.1.1.0' }],
    ['with registries and no inbox', { subject: `${ROOT}.registry.put`, reply: '' }],
  ] as const)('is none %s', (_, message) => {
    expect(judged(message)).toHaveProperty('ignored');
  });

  it('takes registries without an inbox where that is set, and nothing else so', () => {
    expect(judged({ subject: `${ROOT}.registry.put`, reply: '' }, true)).toHaveProperty('request');
    expect(judged({ subject: `${ROOT}.registry.put`, reply: 'x' }, true)).toHaveProperty('ignored');
    expect(judged({ subject: `${ROOT}.link.put`, reply: '' }, true)).toHaveProperty('ignored');
  });

  it('is left to the question after a second process of the same identity', () => {
    expect(judged({ subject: `${ROOT}.host.instance.${HOST}` })).toBe('elsewhere');
  });

  it('is judged without an exception, and is a request only where all of that holds', () => {
    const subject = fc.oneof(
      fc.string(),
      fc
        .constantFrom('host.ping', 'link.put', `host.stop.${HOST}`, 'registry.put', 'config.put.x')
        .map((tail) => `${ROOT}.${tail}`),
    );
    const reply = fc.oneof(fc.string(), fc.constantFrom('', INBOX, `${ROOT}.link.put`, '$JS.API.INFO'));
    fc.assert(
      fc.property(subject, reply, fc.nat(600), fc.boolean(), fc.nat(10), (to, from, status, isSilent, at) => {
        const verdict = judged({ subject: to, reply: from, status }, isSilent, at);
        if (typeof verdict === 'string' || !('request' in verdict)) return;
        expect(status).toBe(0);
        expect(to.startsWith(`${ROOT}.`)).toBe(true);
        expect(verdict.request.noun).toBe(SUBSCRIPTIONS[at]!.noun);
        expect(/^_(?:INBOX|R_)/.test(from) || (isSilent && from === '' && to.endsWith('registry.put'))).toBe(true);
      }),
    );
  });
});
