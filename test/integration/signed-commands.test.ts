import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sampleFile } from '../../src/development.ts';
import type { RunningDaemon } from '../support/daemon-lattice.ts';
import { type OperatorLattice, startOperatorLattice } from '../support/operator-lattice.ts';
import { type ProgramEnd, runProgram } from '../support/program.ts';

// A host that carries out nothing unsigned, and an operator whose NATS user may command it.

let lattice: OperatorLattice;
let host: RunningDaemon;
let sign: string[];
beforeAll(async () => {
  lattice = await startOperatorLattice('web-1');
  host = await lattice.startHost('web-1', { components: [], artifacts: { allowFiles: true }, control: { mode: 'signed' } });
  const [seed, delegation] = ['ops.seed', 'ops.dlg'].map((name) => join(lattice.dir, name)) as [string, string];
  const made = await lattice.cli('keys', 'gen', 'user', '--out', seed, '--output', 'json');
  const { publicKey } = JSON.parse(made.stdout) as { publicKey: string };
  const how = ['--seed-file', join(lattice.dir, 'cluster.seed'), '--out', delegation, '--lattice', 'lab'];
  const minted = await lattice.cli('keys', 'delegate', publicKey, ...how, '--commands', 'component,config,link');
  expect(minted.code, minted.stderr).toBe(0);
  sign = ['--sign-seed-file', seed, '--sign-delegation-file', delegation];
}, 240_000);
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await lattice[Symbol.asyncDispose]();
});

/** As the operator's NATS user, who has no cluster seed. */
function cli(...args: string[]): Promise<ProgramEnd> {
  const env = lattice.envOf(lattice.operator);
  delete env['TRELLIS_TRUST_CLUSTER_SEED_FILE'];
  return runProgram('cli', args, { env });
}

describe('a host with control.mode: signed', () => {
  it('is asked, and does what an operator has signed, by flags and by a context', async () => {
    const hosts = await cli('get', 'hosts');
    expect([hosts.code, hosts.stdout]).toEqual([0, expect.stringMatching(/^N[A-Z2-7]{55} /m)]);
    const put = await cli('config', 'put', 'settings', 'a=b', ...sign);
    expect(put.code, put.stderr).toBe(0);
    const made = await cli('ctx', 'new', 'ops', ...sign, '--use');
    expect(made.code, made.stderr).toBe(0);
    const file = sampleFile('echo/tiny.wasm');
    const started = await cli('start', 'component', file, 'tiny', '--config', 'settings');
    expect(started.code, started.stderr).toBe(0);
    const link = await cli('link', 'put', 'a', 'tiny', 'wasi', 'keyvalue', '--interface', 'store');
    expect(link.code, link.stderr).toBe(0);
    const stopped = await cli('stop', 'component', 'tiny');
    expect(stopped.code, stopped.stderr).toBe(0);
    // The seed is named in the context, and nowhere shown.
    const { stdout } = await cli('ctx', 'show', 'ops', '--output', 'json');
    expect(stdout).toContain('ops.seed');
    expect(stdout).not.toContain(readFileSync(join(lattice.dir, 'ops.seed'), 'utf8').trim());
    await cli('ctx', 'use', '--none');
  });

  it('refuses what nobody has signed, and what the operator may not command, with a word about it', async () => {
    const id = /^N[A-Z2-7]{55}/m.exec((await cli('get', 'hosts')).stdout)![0];
    const ends = await Promise.all([
      cli('config', 'put', 'settings', 'a=c'),
      cli('label', id, 'zone=eu'),
      cli('label', id, 'zone=eu', ...sign),
      cli('stop', 'host', id, ...sign),
    ]);
    for (const { code, stderr } of ends) expect([code, stderr]).toEqual([4, expect.stringContaining('TRELLIS_CONTROL_REFUSED')]);
    expect((await cli('config', 'get', 'settings')).stdout).toMatch(/^a +b$/m);
  });

  it('takes the word of a cluster key, which the settings name', async () => {
    const end = await lattice.cli('config', 'put', 'settings', 'a=d');
    expect(end.code, end.stderr).toBe(0);
  });
});
