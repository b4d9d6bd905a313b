import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Peer } from './peer-programs.ts';

/** How a program ended and what it said. */
export interface PeerEnd {
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A peer as a process with no environment but what it is given, and `input` on its standard input. What it starts belongs to its process
 * group and ends with it: a wasmCloud host that is killed leaves its providers, and they keep its standard error open.
 */
export class PeerProcess implements AsyncDisposable {
  stdout = '';
  stderr = '';
  readonly ended: Promise<PeerEnd>;
  readonly #child;

  constructor(peer: Peer, args: readonly string[], env: Readonly<Record<string, string>>, input = '') {
    this.#child = spawn(peer.program, args, { detached: true, env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...env } });
    this.#child.stdin.end(input);
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.ended = once(this.#child, 'close').then(([code]) => ({
      code: (code as number | null) ?? undefined,
      stdout: this.stdout,
      stderr: this.stderr,
    }));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves when it has said `text` on standard error. */
  async said(text: string, timeoutMs = 60_000): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    while (!this.stderr.includes(text)) {
      if (this.#child.exitCode !== null || performance.now() > endMs) {
        throw new Error(`never said ${JSON.stringify(text)}:\n${this.stderr}${this.stdout}`);
      }
      await sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch {
      // Nobody of the group is left.
    }
    await this.ended;
  }
}
