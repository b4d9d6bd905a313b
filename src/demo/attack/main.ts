/**
 * The attacker's process. It is started with the port of the NATS server and the two stolen seed files, may read those and its
 * own program, and has no key of the lattice. It reaches the lattice through NATS alone; over the pipe to its parent it only hears
 * which attack is next, asks for genuine traffic, and says what came back.
 */
import { readFileSync } from 'node:fs';
import { Attacker } from './attacker.ts';
import { ATTACKS } from './list.ts';
import type { FromAttacker, ToAttacker } from './process-messages.ts';
import { RawConnection } from './raw-connection.ts';

const [port = '', rpcSeedFile = '', ctlSeedFile = ''] = process.argv.slice(2);
const seedIn = (file: string): string => readFileSync(file, 'utf8').trim();
const say = (message: FromAttacker): void => void process.send!(message);

const waiting = new Map<number, () => void>();
let requests = 0;
function ask(message: (request: number) => FromAttacker): Promise<void> {
  const request = ++requests;
  return new Promise((resolve) => {
    waiting.set(request, resolve);
    say(message(request));
  });
}

const connect = (): Promise<RawConnection> => RawConnection.open(Number(port), seedIn(rpcSeedFile));
const attacker = new Attacker(
  await connect(),
  await RawConnection.open(Number(port), seedIn(ctlSeedFile)),
  {
    traffic: (kind, timeoutMs) => ask((request) => ({ type: 'traffic', request, kind, timeoutMs })),
    happening: (what) => ask((request) => ({ type: 'happening', request, what })),
  },
  connect,
);

async function carryOut(index: number, gifts: readonly string[]): Promise<void> {
  attacker.answers.length = 0;
  let failure: string | undefined;
  try {
    await ATTACKS[index]!.run(attacker, gifts);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
  }
  attacker.passOn();
  await attacker.rpc.flush();
  // What is left over belongs to this attack and must not show in the next one.
  attacker.rpc.takeErrors();
  const answers = [...new Set(attacker.answers)];
  say({ type: 'over', answers, ...(failure === undefined ? {} : { failure }) });
}

process.on('message', (message: ToAttacker) => {
  if (message.type === 'attack') void carryOut(message.index, message.gifts);
  else {
    waiting.get(message.request)?.();
    waiting.delete(message.request);
  }
});
process.once('disconnect', () => process.exit(0));
say({ type: 'ready' });
