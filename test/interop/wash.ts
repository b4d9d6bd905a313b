import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Json } from '../support/golden.ts';
import { WASH } from './peer-programs.ts';
import { PeerProcess, type PeerEnd } from './peer-process.ts';

/** What a wash command did. */
export interface WashEnd extends PeerEnd {
  /** Its standard output as JSON. @throws if it is none */
  readonly json: Json;
}

const COMMAND_TIMEOUT_MS = 30_000;

/** The real wash with a home of its own, pointed at one server and lattice. */
export class Wash implements Disposable {
  readonly home: string;
  readonly #env: Readonly<Record<string, string>>;

  constructor(port: number, lattice = 'default', env: Readonly<Record<string, string>> = {}) {
    this.home = mkdtempSync(join(tmpdir(), 'trellis-wash-'));
    this.#env = {
      HOME: this.home,
      WASH_DOWNLOADS_DIR: join(this.home, 'downloads'),
      WASMCLOUD_CTL_HOST: '127.0.0.1',
      WASMCLOUD_CTL_PORT: String(port),
      WASMCLOUD_RPC_HOST: '127.0.0.1',
      WASMCLOUD_RPC_PORT: String(port),
      WASMCLOUD_LATTICE: lattice,
      ...env,
    };
  }

  /** `run('get', 'hosts')` with JSON output. Does not throw when the command fails. */
  async run(...args: readonly string[]): Promise<WashEnd> {
    await using program = this.start('--output', 'json', ...args);
    // Some commands wait for ever for somebody who is not there.
    const late = setTimeout(() => program.signal('SIGKILL'), COMMAND_TIMEOUT_MS);
    const end = await program.ended;
    clearTimeout(late);
    return {
      ...end,
      get json() {
        return lastJson(end);
      },
    };
  }

  /** The same, and its JSON. @throws if it fails */
  async json(...args: readonly string[]): Promise<Record<string, Json>> {
    const end = await this.run(...args);
    if (end.code !== 0) throw new Error(`wash ${args.join(' ')} ended with ${end.code}:\n${end.stdout}${end.stderr}`);
    return end.json as Record<string, Json>;
  }

  /** A command that goes on, such as `spy`. */
  start(...args: readonly string[]): PeerProcess {
    return new PeerProcess(WASH, args, this.#env);
  }

  [Symbol.dispose](): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** wash prints its first-run greeting, too: the JSON is the last thing that begins a line with a brace. */
function lastJson({ stdout, stderr }: PeerEnd): Json {
  for (const found of [...stdout.matchAll(/^[[{]/gm)].reverse()) {
    try {
      return JSON.parse(stdout.slice(found.index)) as Json;
    } catch {
      // A line within the JSON that begins with a brace, too.
    }
  }
  throw new Error(`no JSON in the output:\n${stdout}${stderr}`);
}
