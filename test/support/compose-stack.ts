import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createConnection, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ComposeProject, ComposeService } from './compose-file.ts';
import { freePort } from './free-port.ts';
import { type PlainProcess, startPlain } from './plain-process.ts';
import {
  giveTo,
  type RunningSandbox,
  type SandboxEnd,
  type SandboxMount,
  SandboxNetwork,
  type SandboxProcess,
} from './sandbox.ts';

/** The files of an image and what it says of its containers, where there is no engine to ask. */
export interface StackImage {
  readonly mounts: readonly SandboxMount[];
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly healthcheck: readonly string[] | undefined;
  /** Folders that belong to a user; an empty volume mounted over one takes over owner and mode. */
  readonly folders: readonly { readonly path: string; readonly mode: number; readonly uid: number; readonly gid: number }[];
}

/** How a stack's processes are run: `namespaces` as an engine would, `plain` where the machine does not allow that. */
export type StackLevel = 'namespaces' | 'plain';

/** One service that was stopped. */
export interface StoppedService {
  readonly name: string;
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly tookMs: number;
}

type Running = RunningSandbox | PlainProcess;

/** Starts that a service may need on a busy machine until what it depends on answers in time. */
const MAX_RESTARTS = 3;

/**
 * The services of a compose file as local processes: each with the command, user, environment, mounts and health check of the file,
 * started in the order that `depends_on` asks for and stopped in the reverse one.
 */
export class ComposeStack {
  readonly level: StackLevel;
  readonly #project: ComposeProject;
  readonly #images: Readonly<Record<string, StackImage>>;
  readonly #dir = mkdtempSync(join(tmpdir(), 'trellis-stack-'));
  readonly #network: SandboxNetwork | undefined;
  readonly #addresses = new Map<string, string>();
  readonly #running = new Map<string, Running>();
  readonly #completed = new Set<string>();
  readonly #servers: Server[] = [];
  readonly #ports = new Map<string, number>();
  readonly #restarts = new Map<string, number>();
  #runs = 0;

  /** @param images by reference without tag and digest: `trellis`, `nats`. */
  constructor(project: ComposeProject, images: Readonly<Record<string, StackImage>>, level: StackLevel) {
    this.#project = project;
    this.#images = images;
    this.level = level;
    chmodSync(this.#dir, 0o711);
    this.#network = level === 'namespaces' ? new SandboxNetwork() : undefined;
    for (const service of Object.values(project.services)) {
      if (service.networks.length > 0) this.#addresses.set(service.name, this.#network?.nextAddress() ?? '127.0.0.1');
    }
  }

  /**
   * `docker compose --profile PROFILE up`: starts its services and those of no profile, each once what it depends on is as it should be.
   * @throws when a service does not come up
   */
  async up(profile: string, timeoutMs = 40_000): Promise<void> {
    const endMs = performance.now() + timeoutMs;
    const wanted = Object.values(this.#project.services).filter(
      ({ profiles }) => profiles.length === 0 || profiles.includes(profile),
    );
    await Promise.all(wanted.map((service) => this.#upOne(service, endMs)));
  }

  async #upOne(service: ComposeService, endMs: number): Promise<void> {
    for (const [other, condition] of Object.entries(service.dependsOn)) {
      await this.#until(endMs, `${service.name} waits for ${other}`, () => {
        if (condition === 'service_completed_successfully') return Promise.resolve(this.#completed.has(other));
        if (condition === 'service_started') return Promise.resolve(this.#running.has(other));
        return this.healthy(other);
      });
    }
    if (service.sharesNetworkOf !== undefined) {
      const other = service.sharesNetworkOf;
      await this.#until(endMs, `${service.name} waits for ${other}`, () => Promise.resolve(this.#running.has(other)));
    }
    this.#completed.delete(service.name);
    const running = this.#start(service, service.name);
    this.#running.set(service.name, running);
    if (service.restart === 'no' && this.#isAwaited(service.name)) {
      const end = await running.endedWithin(endMs - performance.now());
      if (end?.code !== 0)
        throw new Error(
          `${service.name} ended with ${String(end?.code ?? end?.signal ?? 'nothing')}: ${running.stderr}${running.stdout}`,
        );
      this.#completed.add(service.name);
      this.#running.delete(service.name);
      return;
    }
    if (this.#checkOf(service) !== undefined) {
      await this.#until(endMs, `${service.name} is not healthy`, () => this.healthy(service.name));
    }
  }

  #isAwaited(name: string): boolean {
    return Object.values(this.#project.services).some(({ dependsOn }) => dependsOn[name] === 'service_completed_successfully');
  }

  /** Waits, asking ten times a second; a service that ended meanwhile fails it. */
  async #until(endMs: number, what: string, done: () => Promise<boolean>): Promise<void> {
    while (!(await done())) {
      for (const [name, running] of this.#running) {
        const end = this.#isAwaited(name) ? undefined : await running.endedWithin(0);
        if (end === undefined) continue;
        // As the engine does; a file that cannot be right is wrong every time.
        if (this.#project.services[name]!.restart !== 'no' && (this.#restarts.get(name) ?? 0) < MAX_RESTARTS) {
          this.#restarts.set(name, (this.#restarts.get(name) ?? 0) + 1);
          this.#running.set(name, this.#start(this.#project.services[name]!, name));
        } else throw new Error(`${name} ended with ${String(end.code ?? end.signal)}: ${end.stderr}${end.stdout}`);
      }
      if (performance.now() > endMs) {
        throw new Error(
          `${what}. What was said:\n${[...this.#running].map(([name, each]) => `${name}: ${each.stderr}${each.stdout}`).join('\n')}`,
        );
      }
      await sleep(100);
    }
  }

  #checkOf(service: ComposeService): readonly string[] | undefined {
    return service.healthcheck?.test ?? this.#imageOf(service).healthcheck;
  }

  /** Runs the health check of a service, once. False for one that does not run. */
  async healthy(name: string): Promise<boolean> {
    const check = this.#checkOf(this.#project.services[name]!);
    const running = this.#running.get(name);
    if (running === undefined) return false;
    if (check === undefined) throw new Error(`${name} has no health check`);
    const argv = check[0] === 'CMD' ? check.slice(1) : ['/bin/sh', '-c', check[1]!];
    return (await running.exec(argv)).code === 0;
  }

  /** A running service. */
  service(name: string): Running {
    const running = this.#running.get(name);
    if (running === undefined) throw new Error(`${name} does not run`);
    return running;
  }

  /** `docker compose run --rm`: another process of a service, with `args` in place of its command, to its end. */
  async run(name: string, args: readonly string[], timeoutMs = 30_000): Promise<SandboxEnd> {
    const service = this.#project.services[name]!;
    this.#runs += 1;
    const running = this.#start({ ...service, command: args }, `${name}-run-${this.#runs}`);
    const end = await running.endedWithin(timeoutMs);
    if (end === undefined) {
      running.kill();
      throw new Error(`${name} did not end: ${running.stderr}`);
    }
    return end;
  }

  /** Starts a service that has ended or was killed, as its restart policy would. */
  async restart(name: string, timeoutMs = 30_000): Promise<void> {
    const service = this.#project.services[name]!;
    this.#running.set(name, this.#start(service, name));
    await this.#until(performance.now() + timeoutMs, `${name} is not healthy`, () => this.healthy(name));
  }

  #imageOf({ image }: ComposeService): StackImage {
    const known = this.#images[image.split(/[:@]/, 1)[0]!];
    if (known === undefined) throw new Error(`nobody said what is in the image ${image}`);
    return known;
  }

  #start(service: ComposeService, name: string): Running {
    const image = this.#imageOf(service);
    const [uid, gid = uid] = (service.user ?? image.user).split(':').map(Number);
    const spec: SandboxProcess = {
      name,
      argv: [
        ...(service.entrypoint ?? image.entrypoint),
        ...(service.command ?? (service.entrypoint === undefined ? image.command : [])),
      ],
      env: { HOME: '/', ...image.env, ...service.environment },
      cwd: service.workingDir ?? image.workingDir,
      uid: uid!,
      gid: gid!,
      mounts: [...image.mounts, ...this.#mountsOf(service, image)],
      tmpfs: service.mounts.filter(({ kind }) => kind === 'tmpfs').map(({ target }) => target),
      readOnlyRoot: service.readOnlyRoot,
      ...(service.coreLimit === undefined ? {} : { coreLimit: service.coreLimit }),
      hosts: this.#hostsOf(service),
    };
    if (this.#network === undefined) {
      const owner = service.sharesNetworkOf ?? service.name;
      return startPlain(spec, {
        root: join(this.#dir, 'roots', name),
        addressOf: (host, port) => this.#plainAddress(owner, host, port),
      });
    }
    const { sharesNetworkOf } = service;
    if (sharesNetworkOf !== undefined)
      return this.#network.start(spec, { shares: this.service(sharesNetworkOf) as RunningSandbox });
    const address =
      name === service.name ? this.#addresses.get(name) : service.networks.length > 0 ? this.#network.nextAddress() : undefined;
    return this.#network.start(spec, address === undefined ? {} : { address });
  }

  /** Names that a service's network resolves. */
  #hostsOf(service: ComposeService): Record<string, string> {
    const self = service.sharesNetworkOf === undefined ? service : this.#project.services[service.sharesNetworkOf]!;
    const others = Object.values(this.#project.services).filter(({ networks }) =>
      networks.some((each) => self.networks.includes(each)),
    );
    return Object.fromEntries(others.map(({ name }) => [name, this.#addresses.get(name)!]));
  }

  #mountsOf(service: ComposeService, image: StackImage): SandboxMount[] {
    return service.mounts.flatMap(({ kind, source, subpath = '', target, readOnly }) => {
      if (kind === 'tmpfs') return [];
      if (kind === 'bind') return [{ source, target, readOnly }];
      const folder = join(this.#dir, 'volumes', source);
      if (mkdirSync(folder, { recursive: true }) !== undefined) {
        const like = image.folders.find(({ path }) => path === target);
        chmodSync(folder, like?.mode ?? 0o755);
        giveTo(folder, like?.uid ?? 0, like?.gid ?? 0);
        chmodSync(join(this.#dir, 'volumes'), 0o711);
      }
      return [{ source: join(folder, subpath), target, readOnly }];
    });
  }

  /** In the plain form every service is on the loopback of this machine, with ports of its own. */
  #plainAddress(owner: string, host: string, port: number): string | undefined {
    const local = ['127.0.0.1', '0.0.0.0', 'localhost'].includes(host);
    if (!local && this.#project.services[host] === undefined) return undefined;
    // A file in a volume may have been put right before.
    if ([...this.#ports.values()].includes(port)) return undefined;
    const key = `${local ? owner : (this.#project.services[host]!.sharesNetworkOf ?? host)}:${port}`;
    let mapped = this.#ports.get(key);
    if (mapped === undefined) this.#ports.set(key, (mapped = freePort()));
    // By a name where it was by a name: a certificate for this computer has that one, and none a number's.
    return `${local && host !== 'localhost' ? '127.0.0.1' : 'localhost'}:${mapped}`;
  }

  /** Opens the published port of a service on this machine, on a free port, and returns that. */
  async published(name: string, containerPort: number): Promise<number> {
    const service = this.#project.services[name]!;
    const mapping = service.ports.find((each) => each.containerPort === containerPort);
    if (mapping === undefined) throw new Error(`${name} publishes no port ${containerPort}`);
    if (this.#network === undefined) return Number(this.#plainAddress(name, '127.0.0.1', containerPort)!.split(':')[1]);
    const socket = join(this.#dir, `${name}-${containerPort}.sock`);
    const forward = `const net = require('node:net');
      net.createServer((near) => {
        const far = net.connect(${containerPort}, '${this.#addresses.get(name)}');
        for (const [a, b] of [[near, far], [far, near]]) { a.pipe(b); a.on('error', () => b.destroy()); a.on('close', () => b.destroy()); }
      }).listen(${JSON.stringify(socket)}, () => process.stdout.write('up'));`;
    const [program, ...args] = this.#network.onBridge([process.execPath, '-e', forward]);
    const cable = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'], env: {} });
    await new Promise((resolve) => cable.stdout.once('data', resolve));
    const server = createServer((near) => {
      const far = createConnection(socket);
      for (const [a, b] of [
        [near, far],
        [far, near],
      ] as const) {
        a.pipe(b);
        a.on('error', () => b.destroy());
        a.on('close', () => b.destroy());
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    server.once('close', () => cable.kill('SIGKILL'));
    server.unref();
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  /** Folder of a volume on this machine. */
  volume(name: string): string {
    return join(this.#dir, 'volumes', name);
  }

  /** Stops all services, dependents first, each with its signal and within its grace period. @throws when one does not keep it */
  async stop(): Promise<StoppedService[]> {
    const stopped: StoppedService[] = [];
    for (const name of this.#stopOrder()) {
      const running = this.#running.get(name);
      // One that has ended already, as a test may make it, has nothing to be told.
      if (running === undefined || (await running.endedWithin(0)) !== undefined) continue;
      const { stopSignal, stopGracePeriodMs } = this.#project.services[name]!;
      const startMs = performance.now();
      running.signal(stopSignal);
      const end = await running.endedWithin(stopGracePeriodMs);
      if (end === undefined) throw new Error(`${name} did not stop within ${stopGracePeriodMs} ms: ${running.stderr}`);
      stopped.push({ name, code: end.code, signal: end.signal, tookMs: performance.now() - startMs });
      this.#running.delete(name);
    }
    return stopped;
  }

  #stopOrder(): string[] {
    const order: string[] = [];
    const visit = (name: string): void => {
      if (order.includes(name)) return;
      for (const other of Object.values(this.#project.services)) {
        if (other.dependsOn[name] !== undefined || other.sharesNetworkOf === name) visit(other.name);
      }
      order.push(name);
    };
    for (const name of Object.keys(this.#project.services)) visit(name);
    return order;
  }

  [Symbol.dispose](): void {
    for (const running of this.#running.values()) running.kill();
    for (const server of this.#servers) server.close();
    this.#network?.end();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
