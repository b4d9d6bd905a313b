import { connect } from 'nats';
import { expect, it } from 'vitest';
import { componentId, latticeName } from '../../src/ids.ts';
import { describeSubject, serveDescription } from '../../src/control/describe.ts';
import { connectPartition } from '../../src/nats/connection.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { startServer } from '../support/nats-server.ts';

it('CRD-10 whoever asks for a description cannot have the host publish anywhere but to an inbox', async () => {
  await using server = await startServer();
  const lattice = latticeName('default');
  const id = componentId('echo');
  await using ctl = await connectPartition({
    partition: 'ctl',
    lattice,
    servers: [server.url],
    name: 'host',
    log: silentLogger(),
  });
  serveDescription(ctl, lattice, id, { id, digest: 'sha256:0', types: { imports: [], exports: [] } });
  await ctl.flush();
  const nc = await connect({ servers: server.url });
  try {
    const heard: string[] = [];
    nc.subscribe('>', { callback: (_error, message) => void heard.push(message.subject) });
    const asked = describeSubject(lattice, id);
    const victims = ['wasmbus.ctl.v1.default.host.stop.H', '$JS.API.STREAM.DELETE.x', 'default.echo.wrpc.0.0.1.f', '_INBOX.*'];
    for (const reply of victims) nc.publish(asked, '', { reply });
    expect((await nc.request(asked, '', { timeout: 2_000 })).json()).toMatchObject({ id: 'echo' });
    expect(heard.filter((subject) => subject !== asked && !subject.startsWith('_INBOX.'))).toEqual([]);
  } finally {
    await nc.close();
  }
});
