import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtGuest } from '../support/built-guest.ts';
import type { RunningDaemon } from '../support/daemon-lattice.ts';
import { type OperatorLattice, startOperatorLattice } from '../support/operator-lattice.ts';

let lattice: OperatorLattice;
let host: RunningDaemon;
beforeAll(async () => {
  const { file } = await builtGuest('storefront');
  lattice = await startOperatorLattice('web-1');
  host = await lattice.startHost('web-1', { components: [{ id: 'shop', file, policy: 'reuse', maxInstances: 4 }] });
}, 240_000);
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await lattice[Symbol.asyncDispose]();
});

const call = (...more: string[]) => lattice.cli('call', 'shop', 'wasi:http/incoming-handler.handle', ...more);

describe('trellis call of a component that serves HTTP', () => {
  it('makes the request of its flags, and prints the answer in the form that is asked for', async () => {
    const request = ['--http-path', '/info?x=1', '--http-method', 'POST', '--http-host', 'shop.example', '--http-port', '81'];
    const [json, body] = await Promise.all([
      call(...request, '--http-header', 'x-a=1', '--http-content-type', 'text/plain', '--output', 'json'),
      call(...request, '--http-scheme', 'https', '--http-response-extract-json'),
    ]);
    expect(json.code, json.stdout + json.stderr).toBe(0);
    const answer = JSON.parse(json.stdout) as { status: number; headers: string[][]; body: string };
    expect(answer).toMatchObject({ status: 200, headers: [['content-type', 'application/json']] });
    expect(JSON.parse(answer.body)).toEqual({
      method: 'post',
      path: '/info?x=1',
      scheme: 'HTTP',
      authority: 'shop.example:81',
      headers: expect.arrayContaining([
        ['content-type', 'text/plain'],
        ['x-a', '1'],
      ]),
    });
    expect(JSON.parse(body.stdout)).toMatchObject({ scheme: 'HTTPS' });
  });

  it('sends a body, also of a file, and prints what comes back', async () => {
    const file = join(lattice.dir, 'body.bin');
    const bytes = Buffer.from([0, 255, 10, 27]);
    writeFileSync(file, bytes);
    const [text, binary, both] = await Promise.all([
      call('--http-path', '/echo', '--http-body', 'some text\n'),
      call('--http-path', '/echo', '--http-body-path', file, '--output', 'json'),
      call('--http-path', '/echo', '--http-body-path', file, '--http-body', 'x'),
    ]);
    expect(text.stdout).toBe('status 201\nx-echo: 1\nx-echo: 2\n\nsome text\n');
    expect(JSON.parse(binary.stdout)).toMatchObject({ status: 201, bodyBase64: bytes.toString('base64') });
    expect(both.code).toBe(2);
  });

  it('prints error codes as they are, and says what is no JSON', async () => {
    const [error, noJson, header] = await Promise.all([
      call('--http-path', '/error', '--output', 'json'),
      call('--http-path', '/elsewhere', '--http-response-extract-json'),
      call('--http-header', 'nothing'),
    ]);
    expect(JSON.parse(error.stdout)).toMatchObject({ result: { err: { case: 'DNS-error' } } });
    expect([noJson.code, noJson.stderr]).toEqual([2, expect.stringContaining('status 404')]);
    expect(header.code).toBe(2);
  });
});
