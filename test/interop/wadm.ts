import { setTimeout as sleep } from 'node:timers/promises';
import type { Json } from '../support/golden.ts';
import { WADM } from './peer-programs.ts';
import { PeerProcess } from './peer-process.ts';
import type { Wash } from './wash.ts';

/** Starts the real wadm beside a server. It hears of a lattice with the first event or heartbeat. */
export function startWadm(port: number, ...args: readonly string[]): PeerProcess {
  return new PeerProcess(WADM, ['--nats-server', `127.0.0.1:${port}`, ...args], { RUST_LOG: 'info' });
}

/** Resolves with the application's status when it is `wanted` and stays so for a second look. */
export async function appStatus(wash: Wash, name: string, wanted: string, timeoutMs = 90_000): Promise<Json> {
  const endMs = performance.now() + timeoutMs;
  let said = '';
  for (let seen = 0; performance.now() < endMs; await sleep(500)) {
    const end = await wash.run('app', 'status', name);
    said = `${end.stdout}${end.stderr}`;
    const status = end.code === 0 ? statusOf(end.json) : undefined;
    seen = status === wanted ? seen + 1 : 0;
    if (seen === 2) return end.json;
  }
  throw new Error(`${name} did not become ${wanted}:\n${said}`);
}

function statusOf(output: Json): string | undefined {
  const { status } = output as { status?: { status?: { type?: string } } };
  return status?.status?.type;
}
