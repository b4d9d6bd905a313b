import { fileURLToPath } from 'node:url';
import { connect } from 'nats';
import { expect, it } from 'vitest';
import { startLatticeHost } from '../support/lattice-host.ts';
import { startServer } from '../support/nats-server.ts';
import { RawPeer, until } from '../support/raw-peer.ts';
import { WASH, WASMCLOUD } from './peer-programs.ts';
import { WasmcloudHost } from './wasmcloud-host.ts';
import { Wash } from './wash.ts';
import { describeWithPeers } from './with-peers.ts';

const sample = (path: string): string => fileURLToPath(new URL(`../../components/${path}`, import.meta.url));
const text = (value: string): Buffer => Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);

/** What `greeter-chain` and `switchboard` call on the Trellis host, unsigned. */
const CALLS = ['greeter-chain', 'switchboard'].map((source) => ({
  source,
  target: 'hello',
  interface: 'trellis-samples:hello/greeting',
}));

describeWithPeers('the sample components on a wasmCloud 1.9 host', [WASH, WASMCLOUD], () => {
  it('run as they do here, and call one on a Trellis host, along links that they choose', async () => {
    await using server = await startServer({ jetstream: true });
    const nc = await connect({ servers: server.url });
    await using peer = new RawPeer(nc);
    await using wasmcloud = await WasmcloudHost.start(nc, { port: server.port });
    await using trellis = await startLatticeHost(server.url, {
      components: [{ id: 'hello', file: sample('hello/build/hello.wasm') }],
      trust: { unsigned: CALLS },
    });
    using wash = new Wash(server.port);
    const start = async (file: string, id: string, ...more: string[]) => {
      await wash.json('start', 'component', sample(file), id, '--host-id', wasmcloud.id, '--skip-wait', ...more);
      await until(
        `${id} runs`,
        async () => {
          // While it compiles a component, such a host answers nothing.
          const end = await wash.run('get', 'inventory', wasmcloud.id);
          return end.code === 0 && end.stdout.includes(`"id": "${id}"`);
        },
        120_000,
      );
    };
    const link = async (source: string, name: string) =>
      wash.json('link', 'put', source, 'hello', 'trellis-samples', 'hello', '--interface', 'greeting', '--link-name', name);
    const call = async (id: string, operation: string, params: Buffer): Promise<string> =>
      (await peer.invoke(`default.${id}.wrpc.0.0.1.${operation}`, params)).toString('latin1');

    await start('echo/echo.wasm', 'echo');
    expect(await call('echo', 'trellis-samples:echo/values@0.1.0.echo-string', text('words'))).toBe('\u0005words');

    // A core module, which such a host makes a component of as ours does (`test/integration/core-modules.test.ts`).
    await wash.json('link', 'put', 'teller', 'echo', 'trellis-samples', 'echo', '--interface', 'values');
    await start('../test/fixtures/components/teller/teller.wasm', 'teller');
    expect(await call('teller', 'trellis-tests:teller/other@0.1.0.answer', Buffer.of())).toBe('*');
    expect(await call('teller', 'trellis-tests:teller/tell@0.1.0.variable', text('HOME'))).toBe('\0');

    await link('greeter-chain', 'default');
    await start('greeter-chain/build/greeter-chain.wasm', 'greeter-chain');
    const greeted = await call(
      'greeter-chain',
      'trellis-samples:chain/greeter@0.1.0.greet-all',
      Buffer.concat([Buffer.of(2), text('Ann'), text('Bob')]),
    );
    expect(greeted.slice(0, 2)).toBe('\0\u0002');
    expect(greeted).toMatch(/Ann.*Bob/s);

    await link('switchboard', 'default');
    await link('switchboard', 'other');
    await wash.json('config', 'put', 'board', 'link=other');
    await start('switchboard/build/switchboard.wasm', 'switchboard', '--config', 'board');
    const board = 'trellis-samples:switchboard/board@0.1.0';
    const answer = await call('switchboard', `${board}.greet`, text('Ann'));
    expect(answer.startsWith('\0'), answer).toBe(true);
    expect(answer).toContain('Ann');
    await wash.json('config', 'put', 'board', 'link=nowhere');
    await until('the new setting is there, and names no link', async () =>
      (await call('switchboard', `${board}.greet`, text('Ann'))).startsWith('\u0001'),
    );
    expect(trellis.daemon.program.stderr).not.toContain('"outcome":"denied"');
  }, 300_000);
});
