import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Happening, Traffic } from './attack.ts';
import type { FromAttacker, ToAttacker } from './process-messages.ts';
import type { ThreeHosts } from './three-hosts.ts';

const ATTACK_TIMEOUT_MS = 60_000;

const own = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const PROGRAM = fileURLToPath(new URL(`./main${own}`, import.meta.url));
/** All that the program is made of, and what tells Node that it is made of modules. */
const CODE = [
  fileURLToPath(new URL('../../', import.meta.url)),
  fileURLToPath(new URL('../../../package.json', import.meta.url)),
];

/** The attacker's process, as its parent sees it. */
export class AttackerProcess {
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  #listener: (message: FromAttacker) => void = () => {};

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#gone = new Promise((resolve) => child.once('exit', () => resolve()));
    child.on('message', (message: FromAttacker) => this.#listener(message));
  }

  /** Starts it with the stolen credentials; resolves when it is logged in. */
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

  /** Ends it. */
  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}
