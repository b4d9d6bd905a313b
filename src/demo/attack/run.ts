import { fork, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '../../errors.ts';
import { type Attack, DENIED, type Happening, type Traffic } from './attack.ts';
import { ATTACKS } from './list.ts';
import { createInsider } from './insider.ts';
import type { FromAttacker, ToAttacker } from './process-messages.ts';
import { MovableClock, startThreeHosts, type ThreeHosts } from './three-hosts.ts';
import { genuineCall, type GenuineCall } from './traffic.ts';

/** One line of the table. */
export interface AttackRow {
  readonly id: string;
  readonly attack: string;
  /** What the attacker was told, each once. */
  readonly answers: readonly string[];
  /** Codes in the hosts, each once; of forged answers, those in the caller. */
  readonly codes: readonly string[];
  /** Guest code ran beyond the genuine calls. Read off the runners' own counters. */
  readonly guestRan: boolean;
  /** Genuine calls during the attack that ended well, of those that should. */
  readonly genuine: { readonly made: number; readonly ok: number };
  /** True if the attack ended as it should. */
  readonly expected: boolean;
  /** Why it did not. */
  readonly surprise?: string;
}

/** What the attacks were carried out on, and what came of them. */
export interface AttackReport {
  readonly rows: readonly AttackRow[];
  readonly natsServer: string;
  /** Public key of the cluster. */
  readonly clusterKey: string;
  /** Signs the summary with the cluster key. */
  readonly sign: (bytes: Uint8Array) => Buffer;
}

/** What {@link runAttacks} takes. */
export interface AttackOptions {
  readonly onStep: (step: string) => void;
}

const HOUR_MS = 3_600_000;
const ATTACK_TIMEOUT_MS = 60_000;
const QUIET_TIMEOUT_MS = 10_000;

/** Starts three hosts and an attacker's process, carries out every attack, and ends all of it. */
export async function runAttacks(options: AttackOptions): Promise<AttackReport> {
  const stateDir = await mkdtemp(join(tmpdir(), 'trellis-attacks-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(stateDir, { recursive: true, force: true }));
  const clock = new MovableClock();
  const codes: Record<'host' | 'caller', ErrorCode[]> = { host: [], caller: [] };
  const lattice = stack.use(
    await startThreeHosts({ stateDir, clock, onStep: options.onStep, onCode: (code, by) => void codes[by].push(code) }),
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

interface Outcome {
  readonly answers: readonly string[];
  readonly failure: string | undefined;
  readonly codes: Readonly<Record<'host' | 'caller', readonly ErrorCode[]>>;
  readonly genuine: readonly GenuineCall[];
  readonly extraRuns: number;
}

function judge(attack: Attack, outcome: Outcome): AttackRow {
  const { answers, failure, genuine, extraRuns } = outcome;
  const ofHosts = unexpectedCodes(outcome.codes.host, attack.codes, 'any host');
  const ofCaller =
    attack.callerCodes === undefined ? [] : unexpectedCodes(outcome.codes.caller, attack.callerCodes, 'the caller');
  const codes = [...new Set([...outcome.codes.host, ...(attack.callerCodes === undefined ? [] : outcome.codes.caller)])];
  const allowed = attack.answers ?? DENIED;
  const ok = genuine.filter((call) => call.ok).length;
  const told = answers.filter((answer) => !allowed.test(answer));
  const surprises = [
    ...(failure === undefined ? [] : [`the attack could not be carried out: ${failure}`]),
    ...(extraRuns === 0 ? [] : [`guest code ran ${extraRuns} times more than the genuine calls`]),
    ...(told.length === 0 ? [] : [`the attacker was told ${told.join(', ')}`]),
    ...(answers.length > 0 ? [] : ['nothing was sent']),
    ...ofHosts,
    ...ofCaller,
    ...(ok === genuine.length ? [] : [`${genuine.length - ok} genuine calls failed`]),
  ];
  return {
    id: attack.id,
    attack: attack.words,
    answers,
    codes,
    guestRan: extraRuns !== 0,
    genuine: { made: genuine.length, ok },
    expected: surprises.length === 0,
    ...(surprises.length === 0 ? {} : { surprise: surprises.join('; ') }),
  };
}

/** ENV-33: whatever is wrong with a signed call, the attacker is told the same. */
function sameAnswer(rows: readonly AttackRow[]): AttackRow {
  const refused = rows.filter((row) => row.answers.some(isDenial) && !row.codes.includes('TRELLIS_VERIFY_UNSIGNED'));
  const answers = [...new Set(refused.flatMap((row) => row.answers.filter(isDenial)))];
  return {
    id: 'ENV-33',
    attack: `the refusals of all ${refused.length} attacks with a token, side by side: does one of them help?`,
    answers,
    codes: [],
    guestRan: false,
    genuine: { made: 0, ok: 0 },
    expected: answers.length === 1,
    ...(answers.length === 1 ? {} : { surprise: 'refusals differ' }),
  };
}

const isDenial = (answer: string): boolean => answer.startsWith('401 ');

function unexpectedCodes(codes: readonly ErrorCode[], allowed: readonly ErrorCode[], where: string): string[] {
  const foreign = [...new Set(codes)].filter((code) => !allowed.includes(code));
  if (foreign.length > 0) return [`unexpected code ${foreign.join(', ')} in ${where}`];
  return allowed.length > 0 && codes.length === 0 ? [`no code in ${where}`] : [];
}

const own = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const PROGRAM = fileURLToPath(new URL(`./main${own}`, import.meta.url));
/** All that the program is made of, and what tells Node that it is made of modules. */
const CODE = [
  fileURLToPath(new URL('../../', import.meta.url)),
  fileURLToPath(new URL('../../../package.json', import.meta.url)),
];

/** The attacker's process, as its parent sees it. */
class AttackerProcess {
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  #listener: (message: FromAttacker) => void = () => {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#gone = new Promise((resolve) => child.once('exit', () => resolve()));
    child.on('message', (message: FromAttacker) => this.#listener(message));
  }

  static async start(lattice: ThreeHosts): Promise<AttackerProcess> {
    const { rpcSeedFile, ctlSeedFile } = lattice.stolen;
    const child = fork(PROGRAM, [String(lattice.server.port), rpcSeedFile, ctlSeedFile], {
      cwd: '/',
      env: {},
      // It may read its program and what was stolen: not the cluster seed, nor anything else of the hosts.
      execArgv: [
        '--permission',
        ...[...CODE, rpcSeedFile, ctlSeedFile].map((path) => `--allow-fs-read=${path}`),
        '--allow-net',
        '--no-warnings',
      ],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const attacker = new AttackerProcess(child);
    await attacker.#next(
      () => {},
      (message) => message.type === 'ready',
    );
    return attacker;
  }

  /** Has one attack carried out; genuine calls and happenings that it asks for are made meanwhile. */
  async carryOut(
    index: number,
    gifts: readonly string[],
    traffic: (kind: Traffic, timeoutMs: number) => Promise<unknown>,
    happen: (what: Happening) => Promise<void>,
  ): Promise<{ answers: readonly string[]; failure: string | undefined }> {
    const over = await this.#next(
      () => this.#say({ type: 'attack', index, gifts }),
      (message) => {
        if (message.type === 'traffic' || message.type === 'happening') {
          const { request } = message;
          const work = message.type === 'traffic' ? traffic(message.kind, message.timeoutMs) : happen(message.what);
          void work.then(() => this.#say({ type: 'done', request }));
        }
        return message.type === 'over';
      },
    );
    return over.type === 'over' ? { answers: over.answers, failure: over.failure } : { answers: [], failure: 'no report' };
  }

  #say(message: ToAttacker): void {
    if (this.#child.connected) this.#child.send(message);
  }

  /** Runs `start` and resolves with the first message for which `last` is true. */
  async #next(start: () => void, last: (message: FromAttacker) => boolean): Promise<FromAttacker> {
    let timer: NodeJS.Timeout | undefined;
    const over = (failure: string): FromAttacker => ({ type: 'over', answers: [], failure });
    const message = await Promise.race([
      new Promise<FromAttacker>((resolve) => {
        this.#listener = (each) => {
          if (last(each)) resolve(each);
        };
        start();
      }),
      this.#gone.then(() => over('its process ended')),
      new Promise<FromAttacker>((resolve) => {
        timer = setTimeout(() => resolve(over(`not over in ${ATTACK_TIMEOUT_MS} ms`)), ATTACK_TIMEOUT_MS);
      }),
    ]);
    clearTimeout(timer);
    return message;
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}
