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
  let asked = 0;
  serveDescription(ctl, lattice, id, { id, digest: 'sha256:0', types: { imports: [], exports: [] } }, () => asked++);
  await ctl.flush();
  const nc = await connect({ servers: server.url });
  try {
    const heard: string[] = [];
    nc.subscribe('>', { callback: (_error, message) => void heard.push(message.subject) });
    const subject = describeSubject(lattice, id);
    const victims = ['wasmbus.ctl.v1.default.host.stop.H', '$JS.API.STREAM.DELETE.x', 'default.echo.wrpc.0.0.1.f', '_INBOX.*'];
    for (const reply of victims) nc.publish(subject, '', { reply });
    expect((await nc.request(subject, '', { timeout: 2_000 })).json()).toMatchObject({ id: 'echo' });
    expect(heard.filter((each) => each !== subject && !each.startsWith('_INBOX.'))).toEqual([]);
    // What is answered is what the audit counts.
    expect(asked).toBe(1);
  } finally {
    await nc.close();
  }
});
