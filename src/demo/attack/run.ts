import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ErrorCode } from '../../errors.ts';
import type { Happening, Traffic } from './attack.ts';
import { AttackerProcess } from './attacker-process.ts';
import { ATTACKS } from './list.ts';
import { createInsider } from './insider.ts';
import { type AttackRow, judge, sameAnswer } from './judge.ts';
import { MovableClock, startThreeHosts, type ThreeHosts } from './three-hosts.ts';
import { genuineCall, type GenuineCall } from './traffic.ts';

/** What the attacks were carried out on, and what came of them. */
export interface AttackReport {
  readonly rows: readonly AttackRow[];
  readonly verify: AttackOptions['verify'];
  readonly natsServer: string;
  /** Public key of the cluster. */
  readonly clusterKey: string;
  /** Signs the summary with the cluster key. */
  readonly sign: (bytes: Uint8Array) => Buffer;
}

/** What {@link runAttacks} takes. */
export interface AttackOptions {
  /** `observe` is the control: the same attacks on hosts that only look on. */
  readonly verify: 'enforce' | 'observe';
  readonly onStep: (step: string) => void;
}

const HOUR_MS = 3_600_000;
const QUIET_TIMEOUT_MS = 10_000;

/** Starts three hosts and an attacker's process, carries out every attack, and ends all of it. */
export async function runAttacks(options: AttackOptions): Promise<AttackReport> {
  const stateDir = await mkdtemp(join(tmpdir(), 'trellis-attacks-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  const clock = new MovableClock();
  const codes: Record<'host' | 'caller', ErrorCode[]> = { host: [], caller: [] };
  const lattice = stack.use(
    await startThreeHosts({
      stateDir,
      clock,
      verify: options.verify,
      onStep: options.onStep,
      onCode: (code, by) => void codes[by].push(code),
    }),
  );
  options.onStep('attacker');
  const attacker = await AttackerProcess.start(lattice);
  stack.defer(() => attacker.stop());
  const insider = createInsider({ clock, cluster: lattice.cluster, user: lattice.stolenUser });

  const happen = async (what: Happening): Promise<void> => {
    if (what === 'clock back an hour') clock.set(-HOUR_MS);
    else if (what === 'clock forward again') clock.set(HOUR_MS);
    else if (what === 'time passes') clock.pass(36_000);
    else await lattice.restart();
  };

  const rows: AttackRow[] = [];
  for (const [index, attack] of ATTACKS.entries()) {
    options.onStep(`${attack.id}: ${attack.words}`);
    codes.host = [];
    codes.caller = [];
    const runsBefore = lattice.guestRuns();
    const calls: Promise<GenuineCall>[] = [];
    const traffic = (kind: Traffic, timeoutMs: number): Promise<GenuineCall> => {
      const call = genuineCall(lattice.caller, kind, timeoutMs);
      calls.push(call);
      return call;
    };
    const { answers, failure } = await attacker.carryOut(index, attack.gift?.(insider) ?? [], traffic, happen);
    const genuine = await Promise.all(calls);
    await quiet(lattice);
    const genuineRuns = genuine.reduce((sum, { ran }) => sum + ran, 0);
    rows.push(judge(attack, { answers, failure, codes, genuine, extraRuns: lattice.guestRuns() - runsBefore - genuineRuns }));
  }
  rows.push(sameAnswer(rows));
  return {
    rows,
    verify: options.verify,
    natsServer: lattice.server.program.version,
    clusterKey: lattice.cluster.publicKey,
    sign: (bytes) => lattice.cluster.sign(bytes),
  };
}

/** Waits until no host has anything in flight: what an attack set off has then run, or will not. */
async function quiet(lattice: ThreeHosts): Promise<void> {
  const endMs = performance.now() + QUIET_TIMEOUT_MS;
  while (lattice.inFlight() > 0 && performance.now() < endMs) await sleep(5);
}
