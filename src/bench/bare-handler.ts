import { connectPartition } from '../nats/connection.ts';
import { latticeName } from '../ids.ts';
import { silentLogger } from '../telemetry/log.ts';

/** The yardstick: a process that answers each message with its own payload, on the same NATS client and options as a host. */
const [url, subject] = process.argv.slice(2);
if (url === undefined || subject === undefined) throw new Error('usage: bare-handler <url> <subject>');
const connection = await connectPartition({
  partition: 'rpc',
  lattice: latticeName('bench'),
  servers: [url],
  name: 'bench bare handler',
  log: silentLogger(),
});
connection.subscribe(subject, { queue: 'bare' }, (message) => connection.publish(message.reply, message.payload));
await connection.flush();
process.on('disconnect', () => process.exit(0));
process.send?.('ready');
