import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleFile } from '../../src/development.ts';
import { CATALOGUE } from '../../src/errors.ts';
import type { RunningDaemon } from '../support/daemon-lattice.ts';
import { type OperatorLattice, startOperatorLattice } from '../support/operator-lattice.ts';
import { type ProgramEnd, runProgram } from '../support/program.ts';

// Two real hosts with the least rights, and commands of an operator of `trellis auth`.

let lattice: OperatorLattice;
let hosts: RunningDaemon[];
let file: string;
beforeAll(async () => {
  lattice = await startOperatorLattice('web-1', 'web-2');
  const settings = (zone: string) => ({ components: [], artifacts: { allowFiles: true }, labels: { zone } });
  hosts = await Promise.all([lattice.startHost('web-1', settings('a')), lattice.startHost('web-2', settings('b'))]);
  file = join(lattice.dir, 'tiny.wasm');
  copyFileSync(sampleFile('echo/tiny.wasm'), file);
});
afterAll(async () => {
  await Promise.all(hosts.map((host) => host[Symbol.asyncDispose]()));
  await lattice[Symbol.asyncDispose]();
});

const ok = async (...args: string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await lattice.cli(...args, '--output', 'json');
  expect(code, stdout + stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
};
const failed = async (...args: string[]): Promise<{ exit: number | undefined; code: string; message: string; hint: string }> => {
  const { code: exit, stdout } = await lattice.cli(...args, '--output', 'json');
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string; hint: string } };
  return { exit, ...error };
};
/** Components on hosts: host id, component, image, instances. */
async function running(): Promise<unknown[][]> {
  const { inventories } = await ok('get', 'inventory');
  type Inventory = {
    host_id: string;
    components: { id: string; image_ref: string; max_instances: number; annotations: object }[];
  };
  return (inventories as Inventory[]).flatMap(({ host_id, components }) =>
    components.map((each) => [host_id, each.id, each.image_ref, each.max_instances, each.annotations]),
  );
}
const call = (): Promise<ProgramEnd> => lattice.cli('call', 'tiny', 'echo-bytes', '--json', '[[1,2,3]]');

describe('a component', () => {
  let ids: Record<'a' | 'b', string>;
  it(
    'is started on the host whose labels are asked for, called, scaled, replaced and stopped',
    { timeout: 240_000 },
    async () => {
      const listed = (await ok('get', 'hosts'))['hosts'] as { id: string; labels: { zone: 'a' | 'b' } }[];
      ids = Object.fromEntries(listed.map(({ id, labels }) => [labels.zone, id])) as typeof ids;
      await ok('config', 'put', 'settings', 'greeting=hi');
      const how = ['--max-instances', '3', '--config', 'settings', '--annotations', 'owner=ada'];
      const started = await ok(
        'start',
        'component',
        '--constraint',
        'zone=b',
        '--constraint',
        'hostcore.os=linux',
        file,
        'tiny',
        ...how,
      );
      expect(started).toMatchObject({ host_id: ids.b, component_id: 'tiny', component_ref: `file://${file}`, done: true });
      expect(await running()).toEqual([[ids.b, 'tiny', `file://${file}`, 3, { owner: 'ada' }]]);
      const answer = await call();
      expect([answer.code, answer.stdout], answer.stderr).toEqual([0, '{"hex":"010203"}\n']);

      // Annotations that nobody names stay.
      expect(await ok('scale', 'component', ids.b.slice(0, 20), file, 'tiny', '--max-instances', '9')).toMatchObject({
        done: true,
      });
      const other = join(lattice.dir, 'other.wasm');
      copyFileSync(file, other);
      expect(await ok('update', 'component', 'tiny', other)).toMatchObject({ before: `file://${file}`, done: true });
      expect(await running()).toEqual([[ids.b, 'tiny', `file://${other}`, 9, { owner: 'ada' }]]);
      // What runs already is no reason to wait.
      expect(await ok('update', 'component', 'tiny', other)).toMatchObject({
        done: true,
        message: expect.stringContaining('already'),
      });
      // Another image by scaling: refused in favour of update, unless it is allowed.
      expect(await ok('scale', 'component', ids.b, file, 'tiny', '--max-instances', '2')).toMatchObject({
        message: expect.stringContaining('different image reference'),
      });
      expect(await ok('scale', 'component', ids.b, file, 'tiny', '--max-instances', '4', '--allow-update')).toMatchObject({
        done: true,
      });
      expect(await running()).toEqual([[ids.b, 'tiny', `file://${file}`, 4, expect.anything()]]);
      expect((await call()).code).toBe(0);

      expect(await ok('stop', 'component', 'tiny')).toMatchObject({ host_id: ids.b, done: true });
      expect(await running()).toEqual([]);
    },
  );

  it('that cannot be started fails with the host its word, at once', async () => {
    const missing = await failed('start', 'component', '/nowhere/x.wasm', 'nope');
    expect(missing).toMatchObject({ exit: 7, code: 'TRELLIS_SCALE_FAILED', message: expect.stringContaining('/nowhere/x.wasm') });
    const config = await failed('start', 'component', file, 'nope', '--config', 'unknown-settings');
    expect(config).toMatchObject({
      exit: 7,
      code: 'TRELLIS_SCALE_FAILED',
      message: expect.stringMatching(/unknown-settings does not exist$/),
    });
    // Nor are there words of the command line between the host and the person.
    expect(config.hint).toBe(CATALOGUE.TRELLIS_CONFIG_MISSING.remedy);
    const nobody = await failed('start', 'component', file, 'nope', '--constraint', 'zone=c', '--auction-timeout-ms', '500');
    expect(nobody).toMatchObject({ exit: 3, code: 'TRELLIS_NO_OFFER', message: expect.stringContaining('labels zone=c') });
    const id = await failed('start', 'component', file, 'a.b');
    expect(id).toMatchObject({ exit: 2, code: 'TRELLIS_ID_INVALID' });
  });

  it('on two hosts is only touched where it is said on which', async () => {
    await Promise.all(['a', 'b'].map((zone) => ok('start', 'component', file, 'tiny', '-c', `zone=${zone}`)));
    for (const args of [
      ['stop', 'component', 'tiny'],
      ['update', 'component', 'tiny', file],
    ]) {
      expect(await failed(...args)).toMatchObject({
        exit: 2,
        code: 'TRELLIS_HOST_AMBIGUOUS',
        message: expect.stringContaining(ids.a),
      });
    }
    expect(await failed('start', 'component', file, 'tiny', '--auction-timeout-ms', '500')).toMatchObject({
      code: 'TRELLIS_NO_OFFER',
      message: expect.stringMatching(/run it already$/),
    });
    await ok('stop', 'component', 'tiny', '--host-id', ids.a);
    expect((await running()).map(([host]) => host)).toEqual([ids.b]);
    expect(await failed('stop', 'component', 'tiny', '--host-id', ids.a)).toMatchObject({
      exit: 3,
      code: 'TRELLIS_COMPONENT_NOT_RUNNING',
    });
    expect(await failed('stop', 'component', 'tinny')).toMatchObject({
      exit: 3,
      hint: expect.stringContaining('Did you mean tiny?'),
    });
    await ok('stop', 'component', 'tiny', '--skip-wait');
  });

  it('is no business of a user who may only call, and he is told so', async () => {
    const asCaller = { env: lattice.envOf(lattice.caller) };
    const ends = await Promise.all(
      [
        ['get', 'hosts'],
        ['get', 'links'],
        ['watch', 'events'],
        ['config', 'put', 'x', 'a=b'],
      ].map((args) => runProgram('cli', args, asCaller)),
    );
    for (const { code, stderr } of ends) expect([code, stderr]).toEqual([4, expect.stringContaining('TRELLIS_NATS_PERMISSION')]);
  });
});

describe('hosts', () => {
  it('stop when they are told to, and the command ends when they have', async () => {
    expect(await failed('down')).toMatchObject({ exit: 2, code: 'TRELLIS_HOST_AMBIGUOUS' });
    const { stopped } = (await ok('down', '--all', '--yes')) as { stopped: { done: boolean }[] };
    expect(stopped.map(({ done }) => done)).toEqual([true, true]);
    expect((await Promise.all(hosts.map(({ program }) => program.ended))).map(({ code }) => code)).toEqual([0, 0]);
    expect(await ok('get', 'hosts')).toEqual({ hosts: [] });
  });
});
