import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fitInventory } from '../../../src/lattice/fit-inventory.ts';
import { hostDescription, hostInventory, latticeVersion } from '../../../src/lattice/inventory.ts';
import { uptimeHuman } from '../../../src/lattice/uptime.ts';
import type { RunningWorkload } from '../../../src/lattice/workloads.ts';

const facts = (uptimeSeconds = 141) => ({
  id: `N${'A'.repeat(55)}`,
  friendlyName: 'brisk-willow-0001',
  lattice: 'default',
  version: latticeVersion('0.1.0'),
  ctlHost: 'nats://127.0.0.1:4222',
  labels: { all: () => ({ zone: 'a' }) },
  uptimeSeconds: () => uptimeSeconds,
});
const workload = (id: string, more: Partial<RunningWorkload> = {}): RunningWorkload => ({
  id,
  imageRef: `file:///${id}.wasm`,
  annotations: {},
  revision: 0,
  maxInstances: 1,
  limits: null,
  ...more,
});

describe('uptimes for people', () => {
  it.each([
    [0, '0s'],
    [0.9, '0s'],
    [141, '2m 21s'],
    [10_805, '3h 5s'],
    [93_600, '1day 2h'],
    [172_860, '2days 1m'],
    [2_630_016 * 2 + 1, '2months 1s'],
    [31_557_600 + 86_400, '1year 1day'],
    [-5, '0s'],
  ])('%d seconds are %s', (seconds, text) => expect(uptimeHuman(seconds)).toBe(text));
});

describe('what a host says of itself', () => {
  it('to a ping', () => {
    expect(hostDescription(facts())).toEqual({
      id: facts().id,
      friendly_name: 'brisk-willow-0001',
      labels: { zone: 'a' },
      lattice: 'default',
      uptime_seconds: 141,
      uptime_human: '2m 21s',
      version: '1.9.2+trellis.0.1.0',
      ctl_host: 'nats://127.0.0.1:4222',
    });
    const all = { ...facts(), rpcHost: 'nats://r:1', jsDomain: 'edge' };
    expect(hostDescription(all)).toMatchObject({ rpc_host: 'nats://r:1', js_domain: 'edge' });
  });

  it('as an inventory', () => {
    const limits = { max_memory_limit: '1024' };
    const annotations = { 'wasmcloud.dev/scaler': 'x' };
    const inventory = hostInventory(facts(), [
      workload('a'),
      workload('b', { name: 'B', revision: 2, maxInstances: 4_294_967_295, limits, annotations }),
    ]);
    expect(JSON.parse(JSON.stringify(inventory))).toEqual({
      components: [
        { id: 'a', image_ref: 'file:///a.wasm', annotations: {}, revision: 0, max_instances: 1, limits: null },
        {
          id: 'b',
          image_ref: 'file:///b.wasm',
          name: 'B',
          annotations,
          revision: 2,
          max_instances: 4_294_967_295,
          limits,
        },
      ],
      providers: [],
      host_id: facts().id,
      friendly_name: 'brisk-willow-0001',
      labels: { zone: 'a' },
      version: '1.9.2+trellis.0.1.0',
      uptime_human: '2m 21s',
      uptime_seconds: 141,
    });
  });

  it('has a semantic version whatever the package says', () => {
    const SEMVER = /^\d+\.\d+\.\d+\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*$/;
    for (const own of ['0.1.0', 'unknown', '1.0.0-rc.1+build']) expect(latticeVersion(own)).toMatch(SEMVER);
  });
});

describe('an inventory that must fit', () => {
  const components = fc.array(
    fc.record({
      id: fc.stringMatching(/^[a-z]{1,8}$/),
      name: fc.option(fc.string(), { nil: undefined }),
      scheduled: fc.boolean(),
      note: fc.string({ unit: 'grapheme' }),
    }),
    { maxLength: 30 },
  );

  it('is complete where it fits, and never larger than allowed', () => {
    fc.assert(
      fc.property(components, fc.integer({ min: 400, max: 6_000 }), (given, maxBytes) => {
        const workloads = given.map(({ id, name, scheduled, note }) =>
          workload(id, {
            ...(name === undefined ? {} : { name }),
            annotations: scheduled ? { 'wasmcloud.dev/scaler': note } : { note },
          }),
        );
        const whole = hostInventory(facts(), workloads);
        const { inventory, leftOut, fits } = fitInventory(whole, maxBytes);
        const bytes = Buffer.byteLength(JSON.stringify(inventory));
        expect([bytes <= maxBytes, fits]).toEqual([true, true]);
        expect(inventory.components).toHaveLength(whole.components.length - leftOut);
        if (Buffer.byteLength(JSON.stringify(whole)) <= maxBytes) expect(inventory).toBe(whole);
        for (const { id, annotations, max_instances, image_ref } of inventory.components) {
          expect(whole.components).toContainEqual(expect.objectContaining({ id, annotations, max_instances, image_ref }));
        }
      }),
    );
  });

  it('goes without names and limits before it goes without a component', () => {
    const whole = hostInventory(facts(), [workload('a', { name: 'n'.repeat(100), limits: { max_memory_limit: '1' } })]);
    const fitted = fitInventory(whole, Buffer.byteLength(JSON.stringify(whole)) - 1);
    expect(fitted.leftOut).toBe(0);
    expect(fitted.inventory.components[0]).toEqual({
      id: 'a',
      image_ref: 'file:///a.wasm',
      annotations: {},
      revision: 0,
      max_instances: 1,
      limits: null,
    });
  });

  it('keeps what a scheduler started, and always the same of it', () => {
    const annotations = { 'wasmcloud.dev/scaler': 'x' };
    const workloads = ['d', 'c', 'b', 'a'].map((id) => workload(id, id < 'c' ? {} : { annotations }));
    const lean = Buffer.byteLength(JSON.stringify(hostInventory(facts(), workloads)));
    const keptBelow = (bytes: number): string[] => {
      const { inventory } = fitInventory(hostInventory(facts(), workloads), bytes);
      return inventory.components.map(({ id }) => id);
    };
    expect(keptBelow(lean - 1)).toEqual(['c', 'd', 'a']);
    expect(keptBelow(lean - 100)).toEqual(['c', 'd', 'a']);
    expect(keptBelow(lean - 200)).toEqual(['c', 'd']);
    expect(keptBelow(1)).toEqual([]);
    const bare = hostInventory(facts(), []);
    const bytes = Buffer.byteLength(JSON.stringify(bare));
    expect([fitInventory(bare, bytes).fits, fitInventory(bare, bytes - 1).fits]).toEqual([true, false]);
  });
});
