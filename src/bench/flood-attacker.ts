import { setTimeout as sleep } from 'node:timers/promises';
import { forgeries } from './flood-forgeries.ts';
import type { AttackerFigures, AttackerOrder, AttackerSetup } from './flood-messages.ts';
import { WireConnection, wireBytes } from './flood-wire.ts';

/**
 * The attacker of the flood benchmark, a process and a connection of its own. It does what rpc credentials allow: it reads what
 * callers send, and publishes. It never touches a control subject and holds no key.
 */
const setup = JSON.parse(process.argv[2] ?? '{}') as AttackerSetup;
const READ_MESSAGES = 2_048;
const READ_MS = 2_000;
const FORGED_MESSAGES = 4_096;
const TICK_MS = 4;
/** Beyond it the server takes no more, and what would be sent is left out. */
const MAX_BACKLOG_BYTES = 8 * 1024 * 1024;

const connection = await WireConnection.open(setup.port);
/** Everything to send in one piece, and where each message begins; the last entry is the end. */
let bytes = Buffer.alloc(0);
let starts: number[] = [0];

async function prepare(order: Extract<AttackerOrder, { order: 'prepare' }>): Promise<AttackerFigures> {
  const beganMs = performance.now();
  const read = await connection.listen(`${setup.lattice}.>`, READ_MESSAGES, READ_MS);
  const genuine = read.filter(({ headers, reply }) => headers.includes('Lattice-Invocation') && reply !== '');
  if (genuine.length === 0) throw new Error('the attacker read no genuine call');
  const made = forgeries(order.kind, genuine, FORGED_MESSAGES, Date.now()).map((message) =>
    // As long as the genuine one, in the same lattice, and nobody's.
    wireBytes(order.subject === 'genuine' ? message : { ...message, subject: message.subject.replace(/\.[^.]/, '.~') }),
  );
  bytes = Buffer.concat(made);
  starts = [0];
  for (const { length } of made) starts.push(starts.at(-1)! + length);
  return { messages: made.length, elapsedMs: performance.now() - beganMs };
}

async function flood(order: Extract<AttackerOrder, { order: 'flood' }>): Promise<AttackerFigures> {
  const beganMs = performance.now();
  const count = starts.length - 1;
  let sent = 0;
  let due = 0;
  let at = 0;
  for (;;) {
    const elapsedMs = performance.now() - beganMs;
    if (elapsedMs >= order.durationMs) return { messages: sent, elapsedMs };
    let now = Math.floor((elapsedMs / 1_000) * order.perSecond) - due;
    due += now;
    if (connection.backlogBytes > MAX_BACKLOG_BYTES) now = 0;
    sent += now;
    while (now > 0) {
      const batch = Math.min(now, count - at);
      connection.send(bytes.subarray(starts[at], starts[at + batch]));
      at = (at + batch) % count;
      now -= batch;
    }
    await sleep(TICK_MS);
  }
}

process.on('message', (order: AttackerOrder) => {
  void (order.order === 'prepare' ? prepare(order) : flood(order)).then((figures) => process.send?.(figures));
});
process.on('disconnect', () => {
  connection.close();
  process.exit(0);
});
process.send?.('ready');
