import { headers } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { login } from '../support/auth-lattice.ts';
import type { RunningDaemon } from '../support/daemon-lattice.ts';
import { type OperatorLattice, startOperatorLattice } from '../support/operator-lattice.ts';
import { type Program, runProgram } from '../support/program.ts';

let lattice: OperatorLattice;
let host: RunningDaemon;
beforeAll(async () => {
  lattice = await startOperatorLattice('web-1');
  host = await lattice.startHost('web-1');
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await lattice[Symbol.asyncDispose]();
});

const SUBJECT = 'lab.tiny.wrpc.0.0.1.trellis-samples:echo/bytes@0.1.0.echo-bytes';
const SECRET = 'very secret text';
const call = (text: string) => lattice.cli('call', 'tiny', 'echo-bytes', '--json', JSON.stringify([[...Buffer.from(text)]]));

/** Resolves when the command says that it listens. */
async function listening(program: Program): Promise<Program> {
  await expect.poll(() => program.stderr).toContain('Listening');
  return program;
}

describe('trellis spy', () => {
  it('shows who calls what, how much and whether that is proven, and nothing of what is called with', async () => {
    await using text = lattice.start('spy', '--count', '3');
    await using json = lattice.start('spy', 'tiny', '--count', '8', '--output', 'json');
    await listening(text);
    // The other one says nothing: so calls are made until it has heard one.
    await expect.poll(async () => (await call(SECRET), json.stdout)).toContain('"verified"');
    const nc = await login(lattice.url, lattice.caller, 'rpc');
    const forged = headers();
    forged.set('source-id', 'somebody');
    nc.publish(SUBJECT, Buffer.from(SECRET), {
      headers: forged,
      reply: `_INBOX_RPC.lab.${lattice.caller.users[1]!.publicKey}.x`,
    });
    forged.set('Lattice-Invocation', 'no token');
    nc.publish(SUBJECT, Buffer.from(SECRET), {
      headers: forged,
      reply: `_INBOX_RPC.lab.${lattice.caller.users[1]!.publicKey}.x`,
    });
    await nc.flush();
    await expect.poll(async () => (await call(SECRET), json.stdout.split('\n').length)).toBeGreaterThan(8);
    await nc.close();
    const ended = await Promise.all([text.ended, json.ended]);
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    const calls = json.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(calls).toHaveLength(8);
    expect(calls[0]).toMatchObject({
      subject: SUBJECT,
      target: 'tiny',
      operation: 'trellis-samples:echo/bytes@0.1.0.echo-bytes',
      source: 'trellis-cli',
      link: 'default',
      bytes: SECRET.length + 1,
      id: expect.stringMatching(/^[\w-]{22}$/),
      signer: expect.stringMatching(/^N/),
      verdict: { state: 'verified' },
    });
    const states = calls.map(({ verdict }) => (verdict as { state: string }).state);
    expect(states).toEqual(expect.arrayContaining(['verified', 'unsigned', 'refused']));
    expect(text.stdout).toMatch(
      /^\S+ trellis-cli → tiny trellis-samples:echo\/bytes@0\.1\.0\.echo-bytes, 17 bytes id [\w-]{22}, verified$/m,
    );
    for (const said of [text.stdout, json.stdout]) {
      expect(said).not.toContain(SECRET);
      expect(said).not.toContain(Buffer.from(SECRET).toString('base64'));
    }
  });

  it('shows what is called with where somebody insists', async () => {
    await using program = await listening(lattice.start('spy', '--show-payload', '--count', '1'));
    await call(SECRET);
    expect((await program.ended).stdout).toContain(`.${SECRET.slice(0, 15)}`);
  });

  it('is not for users that were not made for it, and says how to make one', async () => {
    const end = await runProgram('cli', ['spy'], { env: lattice.envOf(lattice.caller) });
    expect([end.code, end.stderr]).toEqual([4, expect.stringContaining('trellis auth user add NAME --kind caller --spies')]);
  });
});
