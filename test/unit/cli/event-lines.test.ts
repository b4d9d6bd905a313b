import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventLine, eventMatches } from '../../../src/cli/lattice/event-lines.ts';
import type { HeardEvent } from '../../../src/lattice/read-event.ts';

const HOST = `N${'A'.repeat(55)}`;
const event = (name: string, data: Record<string, unknown>): HeardEvent => ({
  name,
  source: HOST,
  time: '2026-01-02T03:04:05.678901Z',
  data,
});
/** No control characters. */
const ONE_LINE = /^\P{Cc}*$/u;
const all = { components: [], all: false };

describe('a line of an event', () => {
  it('begins with time, name and host, and has what matters first', () => {
    const line = eventLine(
      event('component_scaled', { annotations: {}, host_id: HOST, image_ref: 'file:///c', max_instances: 0, component_id: 'c' }),
    );
    expect(line).toBe('03:04:05.678 component_scaled NAAAAAAA… component_id=c image_ref=file:///c max_instances=0');
  });

  it('is one line of visible characters, whatever somebody has published', () => {
    const odd = fc.record({
      name: fc.string(),
      source: fc.string(),
      time: fc.string(),
      data: fc.dictionary(fc.string(), fc.jsonValue()),
    });
    fc.assert(
      fc.property(odd, (heard) => {
        expect(eventLine(heard)).toMatch(ONE_LINE);
      }),
    );
    expect(eventLine(event('x\u001B[2J', { error: 'a\nb\u0007' }))).toMatch(ONE_LINE);
  });
});

describe('what is shown of the events', () => {
  it('is what concerns the component, in whatever role', () => {
    const only = { ...all, components: ['c'] };
    for (const field of ['component_id', 'provider_id', 'source_id', 'target'])
      expect(eventMatches(event('x', { [field]: 'c' }), only)).toBe(true);
    expect(eventMatches(event('x', { component_id: 'd', image_ref: 'c' }), only)).toBe(false);
  });

  it('is what one host says, and no heartbeats and audit records unless they are wanted', () => {
    expect(eventMatches(event('x', {}), { ...all, host: HOST })).toBe(true);
    expect(eventMatches(event('x', {}), { ...all, host: `N${'B'.repeat(55)}` })).toBe(false);
    for (const name of ['host_heartbeat', 'audit_control']) {
      expect(eventMatches(event(name, {}), all)).toBe(false);
      expect(eventMatches(event(name, {}), { ...all, all: true })).toBe(true);
    }
  });
});
