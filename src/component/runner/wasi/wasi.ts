import type { Clock } from '../../../clock.ts';
import { camelCase } from '../../../wit/types.ts';
import type { WitInterface } from '../../../wit/types.ts';
import { createBus, identity, secrets, SILENT_BUS, type SetLinkName } from './bus.ts';
import { createClocks } from './clocks.ts';
import { denied, resourceClass } from './denied.ts';
import { createFilesystem } from './filesystem.ts';
import type { Preopen } from './filesystem.ts';
import { io } from './io.ts';
import type { HttpTwin } from '../twins/http.ts';
import type { InstanceNetwork, NetworkFactory } from './network/network.ts';
import { Lifetime } from './poll.ts';
import { createRandom, secureRandom } from './random.ts';
import type { RandomBytes } from './random.ts';
import { createSettings } from './settings.ts';
import type { GuestLog } from './settings.ts';
import { createCli, LineBuffer } from './stdio.ts';

/**
 * WASI 0.2 for one instance, and what 1.x hosts offer beside it. Deny by default: clocks, randomness and lines for the log; everything else only as granted.
 * Nothing here reads the process's own environment, arguments or standard streams.
 */

/** What one instance may see and touch. */
export interface WasiOptions {
  /** What the component imports (`ComponentTypes.imports`); interfaces that are not WASI are passed over. */
  readonly imports: readonly WitInterface[];
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** Gives the values of `wasi:config` that count now; none if left out. */
  readonly config?: () => Readonly<Record<string, string>>;
  /** Takes one line of standard output or error, without line end, at most `MAX_LINE_BYTES`. */
  readonly stdout: (line: Uint8Array) => void;
  readonly stderr: (line: Uint8Array) => void;
  /** Takes a line of `wasi:logging`. */
  readonly log?: GuestLog;
  readonly clock: Clock;
  /** Secure random bytes; the platform's when left out. */
  readonly random?: RandomBytes;
  /** Chooses links for interfaces (`ns:pkg/iface`), by `wasmcloud:bus`; resolves with why not. Always refused if left out. */
  readonly setLinkName?: SetLinkName;
  /** Called when the guest exits; then `GuestExit` is thrown through the guest. */
  readonly onExit: (exitCode: number) => void;
  readonly grants?: { readonly preopens?: readonly Preopen[] };
  /** The network where the component has a grant for it; closed when left out. */
  readonly network?: NetworkFactory;
  /** HTTP along links; what there is a grant for does not take them. */
  readonly http?: (lifetime: Lifetime) => HttpTwin;
}

/** WASI for one instance. */
export interface Wasi {
  /** Import name (with the version the component uses) → interface, for the generated `instantiate`. */
  readonly imports: Record<string, object>;
  readonly lifetime: Lifetime;
  /** Its HTTP along links, if it has that. */
  readonly http: HttpTwin | undefined;
  /** Hands over lines that have no end yet and ends what is open on the network; call it after every invocation. */
  flush(): void;
  /** Ends the instance: waits are rejected with `reason`, files are closed. A wait that never ends would never be freed. */
  stop(reason: Error): void;
}

const NO_LINKS = (): Promise<string> => Promise.resolve('no link can be chosen here');
const NO_CONFIG = (): Readonly<Record<string, string>> => ({});

/** Returns WASI for one instance. Costs some microseconds, so each instance can have its own. */
export function createWasi(options: WasiOptions): Wasi {
  const plan = planOf(options.imports, options.network === undefined ? closedPlans : openPlans);
  const lifetime = new Lifetime(options.clock);
  const stdout = new LineBuffer(options.stdout);
  const stderr = new LineBuffer(options.stderr);
  const network = options.network?.(lifetime);
  const http = options.http?.(lifetime);
  const sections: Record<Section, () => Record<string, object>> = {
    bus: () => createBus(options.setLinkName ?? NO_LINKS),
    identity: () => identity,
    secrets: () => secrets,
    cli: () => createCli({ env: options.env ?? {}, args: options.args ?? [], stdout, stderr, onExit: options.onExit }),
    clocks: () => createClocks(lifetime),
    config: () => createSettings(options.config ?? NO_CONFIG, options.log ?? (() => undefined)),
    filesystem: () => createFilesystem(lifetime, options.grants?.preopens ?? []),
    http: () => httpOf(network, http),
    io: () => io,
    logging: () => createSettings(options.config ?? NO_CONFIG, options.log ?? (() => undefined)),
    random: () => createRandom(options.random ?? secureRandom),
    sockets: () => network?.sockets() ?? denied,
  };
  const made = new Map<Section, Record<string, object>>();
  const imports: Record<string, object> = {};
  for (const needed of plan) {
    let interfaces = made.get(needed.section);
    if (interfaces === undefined) made.set(needed.section, (interfaces = sections[needed.section]()));
    const offered = interfaces[needed.base];
    if (offered === undefined) continue;
    needed.stubs ??= stubsFor(offered as Record<string, unknown>, needed.wit);
    imports[needed.key] = needed.stubs === NO_STUBS ? offered : { ...offered, ...needed.stubs };
  }
  return {
    imports,
    flush: () => {
      stdout.flush();
      stderr.flush();
      network?.endCall();
      http?.endCall();
    },
    http,
    lifetime,
    stop: (reason) => lifetime.stop(reason),
  };
}

/** Requests go where there is a grant, else along links; what neither has stays closed. */
function httpOf(network: InstanceNetwork | undefined, twin: HttpTwin | undefined): Record<string, object> {
  const [granted, linked] = [network?.http(), twin?.imports()];
  const types = 'wasi:http/types';
  return {
    ...denied,
    ...linked,
    ...granted,
    [types]: { ...denied[types], ...linked?.[types], ...granted?.[types] },
  };
}

type Section =
  | 'bus'
  | 'identity'
  | 'secrets'
  | 'cli'
  | 'clocks'
  | 'config'
  | 'filesystem'
  | 'http'
  | 'io'
  | 'logging'
  | 'random'
  | 'sockets';

interface Needed {
  readonly key: string;
  readonly base: string;
  readonly section: Section;
  readonly wit: WitInterface;
  /** What the component imports beyond what is offered; found out with the first instance. */
  stubs?: Record<string, unknown>;
}

const NAME =
  /^(?:wasi:(cli|clocks|config|filesystem|http|io|logging|random|sockets)|wasmcloud:(bus|identity|secrets))\/[a-z0-9-]+/;
// Two, because what an interface lacks depends on whether it is closed.
const closedPlans = new WeakMap<readonly WitInterface[], Needed[]>();
const openPlans = new WeakMap<readonly WitInterface[], Needed[]>();

/** Versions differ in what they add, not in what a name means: an interface is found by its name alone. */
function planOf(imports: readonly WitInterface[], plans: WeakMap<readonly WitInterface[], Needed[]>): Needed[] {
  let plan = plans.get(imports);
  if (plan !== undefined) return plan;
  plan = imports.flatMap((wit) => {
    const match = NAME.exec(wit.name);
    if (match === null) return [];
    const silent = match[2] === 'bus' && wit.functions.some((fn) => fn.name === 'set-link-name' && fn.result === null);
    return [{ key: wit.name, base: silent ? SILENT_BUS : match[0], section: (match[1] ?? match[2]) as Section, wit }];
  });
  plans.set(imports, plan);
  return plan;
}

const NO_STUBS: Record<string, unknown> = {};

/** Functions that trap, for everything the component imports from an interface and the interface here does not have. */
function stubsFor(offered: Record<string, unknown>, wit: WitInterface): Record<string, unknown> {
  const stubs: Record<string, unknown> = {};
  for (const fn of wit.functions) {
    const member = /^\[(constructor|method|static)\]([^.]+)(?:\.(.+))?$/.exec(fn.name);
    if (member === null) {
      const name = camelCase(fn.name);
      if (typeof offered[name] !== 'function') stubs[name] = missing(wit.name, fn.name);
      continue;
    }
    const className = pascalCase(member[2]!);
    const owner = (offered[className] ?? stubs[className] ?? resourceClass()) as Record<string, unknown>;
    if (offered[className] === undefined) stubs[className] = owner;
    if (member[1] === 'constructor') continue;
    const target = member[1] === 'static' ? owner : (owner.prototype as Record<string, unknown>);
    const name = camelCase(member[3]!);
    // Resource classes are shared by all instances, and so is the missing member.
    if (typeof target[name] !== 'function') target[name] = missing(wit.name, fn.name);
  }
  return Object.keys(stubs).length === 0 ? NO_STUBS : stubs;
}

function missing(interfaceName: string, functionName: string): () => never {
  return () => {
    throw new Error(`${interfaceName}#${functionName} is not granted to this component`);
  };
}

function pascalCase(label: string): string {
  const camel = camelCase(label);
  return camel.charAt(0).toUpperCase() + camel.slice(1);
}
