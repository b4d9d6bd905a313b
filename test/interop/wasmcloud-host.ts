import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import { WASMCLOUD } from './peer-programs.ts';
import { PeerProcess } from './peer-process.ts';

/** What {@link WasmcloudHost.start} takes. */
export interface WasmcloudHostOptions {
  readonly port: number;
  readonly lattice?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly heartbeatSeconds?: number;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** A real wasmCloud 1.9 host. */
export class WasmcloudHost implements AsyncDisposable {
  readonly process: PeerProcess;
  readonly id: string;
  readonly friendlyName: string;

  private constructor(process: PeerProcess, id: string, friendlyName: string) {
    this.process = process;
    this.id = id;
    this.friendlyName = friendlyName;
  }

  /** Starts one and resolves when the lattice has heard of it over `nc`. */
  static async start(nc: NatsConnection, options: WasmcloudHostOptions): Promise<WasmcloudHost> {
    const lattice = options.lattice ?? 'default';
    const started = nc.subscribe(`wasmbus.evt.${lattice}.host_started`, { max: 1 });
    await nc.flush();
    const process = new PeerProcess(
      WASMCLOUD,
      [
        `--nats-host=127.0.0.1`,
        `--nats-port=${options.port}`,
        `--lattice=${lattice}`,
        '--allow-file-load',
        `--heartbeat-interval-seconds=${options.heartbeatSeconds ?? 30}`,
        ...Object.entries(options.labels ?? {}).flatMap(([name, value]) => ['--label', `${name}=${value}`]),
        ...(options.args ?? []),
      ],
      { RUST_LOG: 'info', ...options.env },
    );
    const ended = process.ended.then((end) => {
      throw new Error(`the wasmCloud host ended:\n${end.stderr}`);
    });
    const first = (async () => {
      for await (const message of started) return message.json<{ source: string; data: { friendly_name: string } }>();
      throw new Error('the connection ended');
    })();
    const late = sleep(60_000, undefined, { ref: false }).then(() => {
      throw new Error(`the wasmCloud host did not start:\n${process.stderr}`);
    });
    try {
      const { source, data } = await Promise.race([first, ended, late]);
      ended.catch(() => {});
      late.catch(() => {});
      return new WasmcloudHost(process, source, data.friendly_name);
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
  }
}
