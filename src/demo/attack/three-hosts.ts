import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Caller, connectCaller } from '../../caller.ts';
import type { Clock } from '../../clock.ts';
import { type HostConfigInput, parseConfig } from '../../config/schema.ts';
import { sampleComponents, sampleLinks } from '../../development.ts';
import type { ErrorCode } from '../../errors.ts';
import { type Host, startHost } from '../../host.ts';
import { type NatsServer, startNatsServer } from '../../nats/server.ts';
import { createLogger, silentLogger } from '../../telemetry/log.ts';
import { createMetrics, type Metrics } from '../../telemetry/metrics.ts';
import { SigningKey } from '../../trust/nkey.ts';
import { CALLER_ORIGIN, LATTICE } from './attack.ts';

/** The machine's clock, as the hosts of the demonstration see it: it can be set, and time can pass. */
export class MovableClock implements Clock {
  #setMs = 0;
  #passedMs = 0;

  wallMs(): number {
    return Date.now() + this.#setMs + this.#passedMs;
  }
  monotonicMs(): number {
    return performance.now() + this.#passedMs;
  }
  /** Somebody sets the wall clock, by so many milliseconds. */
  set(byMs: number): void {
    this.#setMs += byMs;
  }
  /** So many milliseconds pass. */
  pass(ms: number): void {
    this.#passedMs += ms;
  }
}

/** What the lattice of the demonstration takes. */
export interface ThreeHostsOptions {
  /** An empty folder of mode 0700. */
  readonly stateDir: string;
  readonly clock: Clock;
  readonly verify: 'enforce' | 'observe';
  /** Told before each step. */
  readonly onStep: (step: string) => void;
  /** Hears each code by which a host, or the caller, refused something. */
  readonly onCode: (code: ErrorCode, by: 'host' | 'caller') => void;
}

/** Three hosts with real credentials, and a caller. */
export interface ThreeHosts extends AsyncDisposable {
  readonly server: NatsServer;
  readonly caller: Caller;
  /** The key that every host trusts. */
  readonly cluster: SigningKey;
  /** Seed files of the third host, whose credentials are stolen. */
  readonly stolen: { readonly rpcSeedFile: string; readonly ctlSeedFile: string };
  /** Public key of the stolen rpc user. */
  readonly stolenUser: string;
  /** Calls that the runners of all hosts have taken since the start: each is guest code that ran. */
  guestRuns(): number;
  /** Invocations in flight on all hosts. */
  inFlight(): number;
  /** Stops the third host at once and starts it again. */
  restart(): Promise<void>;
}

/** Largest message of the server, bytes. */
const MAX_PAYLOAD_BYTES = 256 * 1024;
const COMPONENTS: readonly (readonly string[])[] = [
  ['echo', 'echo-streams'],
  ['echo', 'echo-streams'],
  ['hello', 'greeter-chain'],
];
const STOLEN = 2;
const SETTINGS: Readonly<Record<string, { timeoutMs: number; replay?: 'cluster' }>> = {
  echo: { timeoutMs: 3_000 },
  'echo-streams': { timeoutMs: 5_000, replay: 'cluster' },
};

/** Starts a NATS server with a user for each connection, three hosts and a caller. Ends all of it when disposed of. */
export async function startThreeHosts(options: ThreeHostsOptions): Promise<ThreeHosts> {
  const { stateDir, clock, verify, onStep, onCode } = options;
  await using starting = new AsyncDisposableStack();
  const cluster = SigningKey.generate('cluster');
  const clusterSeedFile = await writeSeed(stateDir, 'cluster', cluster);
  const users = await Promise.all(COMPONENTS.map(async (_, host) => writeUsers(stateDir, host)));

  onStep('nats-server');
  const server = await startNatsServer({
    configText: serverConfig(users.flatMap(({ ctl, rpc }) => [permissionsOf('ctl', ctl), permissionsOf('rpc', rpc)])),
  });
  starting.defer(() => server.stop());

  const log = codeLog((code) => onCode(code, 'host'));
  const configOf = (at: number, more: HostConfigInput) =>
    parseConfig({
      lattice: LATTICE,
      ctl: { servers: [server.url], seedFile: users[at]!.ctlSeedFile },
      rpc: { servers: [server.url], seedFile: users[at]!.rpcSeedFile },
      cacheDir: join(stateDir, 'components'),
      stateDir: join(stateDir, `host-${at}`),
      links: sampleLinks(),
      admin: { listen: false },
      ...more,
      // Forged refusals must not end genuine calls, however busy this machine is.
      trust: { verify, clusterSeedFile, unlinkedOrigins: [CALLER_ORIGIN], refusalGraceMs: 20_000 },
    });
  const startOne = (at: number): Promise<Host> =>
    startHost({
      config: configOf(at, {
        components: sampleComponents()
          .filter(({ id }) => COMPONENTS[at]!.includes(id))
          .map((component) => ({ ...component, ...SETTINGS[component.id] })),
      }),
      log,
      // A frame that is dropped ends no call, so only the metrics tell of it.
      metrics: droppingMetrics((code) => onCode(code, 'host')),
      clock,
    });
  const hosts: Host[] = [];
  starting.defer(() => Promise.all(hosts.map((host) => host.stop())).then(() => {}));
  // One after the other: the second runs what the first has translated, and a small machine has enough to do with each.
  for (const at of COMPONENTS.keys()) {
    onStep(`host ${at + 1} of ${COMPONENTS.length}: ${COMPONENTS[at]!.join(', ')}`);
    hosts[at] = await startOne(at);
  }
  onStep('caller');
  const caller = starting.use(
    // The caller logs in as its host does, so that the stolen credentials hear its answers too: the worst case.
    await connectCaller({
      config: configOf(STOLEN, {}),
      log: silentLogger(),
      metrics: droppingMetrics((code) => onCode(code, 'caller')),
      origin: CALLER_ORIGIN,
      clock,
    }),
  );

  let runsBefore = 0;
  const callsOf = (host: Host): number => host.status().components.reduce((sum, { calls }) => sum + calls, 0);
  const owned = starting.move();
  return {
    server,
    caller,
    cluster,
    stolen: users[STOLEN]!,
    stolenUser: users[STOLEN]!.rpc,
    guestRuns: () => hosts.reduce((sum, host) => sum + callsOf(host), runsBefore),
    inFlight: () => hosts.reduce((sum, host) => sum + host.status().inFlight, 0),
    async restart() {
      const old = hosts[STOLEN]!;
      const runs = callsOf(old);
      await old.stop();
      hosts[STOLEN] = await startOne(STOLEN);
      runsBefore += runs;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function writeSeed(dir: string, name: string, key: SigningKey): Promise<string> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, `${name}.seed`);
  await writeFile(file, `${key.exportSeed().reveal()}\n`, { mode: 0o600 });
  return file;
}

async function writeUsers(stateDir: string, host: number) {
  const [ctl, rpc] = [SigningKey.generate('user'), SigningKey.generate('user')];
  const dir = join(stateDir, `users-${host}`);
  return {
    ctl: ctl.publicKey,
    rpc: rpc.publicKey,
    ctlSeedFile: await writeSeed(dir, 'ctl', ctl),
    rpcSeedFile: await writeSeed(dir, 'rpc', rpc),
  };
}

/** The least subjects of a user, as config/nats-server.conf gives them. */
function permissionsOf(partition: 'ctl' | 'rpc', user: string): string {
  const [own, inbox] =
    partition === 'ctl' ? [`wasmbus.ctl.v1.${LATTICE}.>`, `_INBOX_CTL.${LATTICE}`] : [`${LATTICE}.>`, `_INBOX_RPC.${LATTICE}`];
  return `{ nkey: ${user}, permissions { publish: ["${own}", "${inbox}.>"], subscribe: ["${own}", "${inbox}.${user}.>"] } }`;
}

function serverConfig(users: readonly string[]): string {
  return `max_payload: ${MAX_PAYLOAD_BYTES}\nauthorization { users: [\n${users.join('\n')}\n] }\n`;
}

/** A log that keeps nothing but the code of each refusal. */
function codeLog(onCode: (code: ErrorCode) => void) {
  return createLogger({
    level: 'warn',
    format: 'json',
    maxLinesPerSecond: 1_000_000,
    destination: {
      write(line) {
        const { code, outcome } = JSON.parse(line) as { code?: ErrorCode; outcome?: string };
        if (code !== undefined && outcome !== undefined) onCode(code);
      },
    },
  });
}

/** Metrics that pass on what was dropped as not authentic; the log says so at debug level only. */
function droppingMetrics(onDropped: (code: ErrorCode) => void): Metrics {
  const metrics = createMetrics({ eventLoop: false });
  return {
    ...metrics,
    denied(code) {
      onDropped(code);
      metrics.denied(code);
    },
  };
}
