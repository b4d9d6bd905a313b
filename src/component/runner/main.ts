/**
 * The runner: the program that runs one component's code. It has no keys, no environment, no network and no files but the
 * component's own, unless an operator granted it some, and speaks with the host over the duplex pipe on descriptor 3. When the
 * pipe ends, so does it.
 */
import { Socket } from 'node:net';
import { Calls } from './calls.ts';
import { confine } from './confine.ts';
import { bindExports } from './exports.ts';
import { FrameReader } from './frame-reader.ts';
import { FRAME, FrameWriter, GUEST_LOG_KINDS, type GuestLogKind } from './frames.ts';
import { Handles } from './handles.ts';
import { ImportIds } from './import-ids.ts';
import { LinkImports } from './imports.ts';
import { InstancePool } from './instances.ts';
import { LinkNames } from './link-names.ts';
import { LoadedComponent } from './loaded-component.ts';
import { reasonOf } from './results.ts';
import type { RunnerStart } from './start.ts';
import { createWasi } from './wasi/wasi.ts';

/** The host is trusted; this is only to notice a broken pipe. */
const MAX_FRAME_BYTES = 0x7fff_ffff;
/** Bytes of guests' lines that are passed on per second; the host has the last word. */
const LOG_BYTES_PER_SECOND = 2_000_000;

const pipe = new Socket({ fd: 3, readable: true, writable: true });
const writer = new FrameWriter(pipe);
const exit = process.exit.bind(process);
let calls: Calls | undefined;
let links: LinkImports | undefined;
let names: LinkNames | undefined;
let pool: InstancePool | undefined;

const reader = new FrameReader(MAX_FRAME_BYTES, (type, id, body) => {
  switch (type) {
    case FRAME.call:
      calls?.onCall(id, body);
      break;
    case FRAME.importResult:
      links?.onResult(id, body);
      break;
    case FRAME.params:
      calls?.onParams(id, body);
      break;
    case FRAME.cancel:
      calls?.onCancel(id);
      break;
    case FRAME.importPath:
      links?.onPath(id, body);
      break;
    case FRAME.importFail:
      if (names?.onFail(id, body.toString('utf8')) !== true) links?.onFail(id, body.toString('utf8'));
      break;
    case FRAME.links:
      names?.onLinks(id, body);
      break;
    case FRAME.config:
      pool?.setConfig(JSON.parse(body.toString('utf8')) as RunnerStart['config']);
      break;
    case FRAME.instances:
      calls?.setMaxInstances(body.readUInt32LE(0));
      break;
    case FRAME.start:
      void begin(JSON.parse(body.toString('utf8')) as RunnerStart);
      break;
    default:
      exit(70);
  }
});

async function begin(start: RunnerStart): Promise<void> {
  try {
    const { types } = start;
    const granted = start.grants.network ?? [];
    // Only where there is a grant: the HTTP client and TLS cost every other runner time and memory for nothing.
    const network = granted.length === 0 ? undefined : (await import('./wasi/network/network.ts')).createNetwork(granted);
    const Http = usesHttp(types) ? (await import('./twins/http.ts')).HttpTwin : undefined;
    confine(start.dir);
    const builtin = new Set(Object.keys(createWasi({ ...IDLE_WASI, imports: types.imports }).imports));
    const handles = new Handles();
    const exports = bindExports(types, handles);
    const component = await LoadedComponent.load(start);
    const ids = new ImportIds();
    const linked = new LinkImports(start, { writer, handles, ids, builtin: (name) => builtin.has(name) });
    const linkNames = new LinkNames(writer, ids);
    const instances = new InstancePool({
      component,
      start,
      handles,
      network,
      http: Http === undefined ? undefined : (lifetime, wire) => new Http(lifetime, wire),
      linkImports: (instance) => linked.for(instance),
      wireCalls: (instance) => linked.wireCalls(instance),
      setLinkName: (instance, name, interfaces) => linkNames.set(instance, name, interfaces),
      onLine: sendLine,
    });
    // One instance now: whether the component links is known before it is called ready.
    instances.prepare();
    const running = new Calls({ start, exports, pool: instances, links: linked, linkNames, handles, writer });
    linked.onBroken = (callId, reason, status) => running.breakCall(callId, reason, status);
    links = linked;
    names = linkNames;
    pool = instances;
    calls = running;
    writer.bare(FRAME.ready, 0);
  } catch (error) {
    writer.text(FRAME.unusable, 0, reasonOf(error));
  }
}

const IDLE_WASI = {
  stdout: () => {},
  stderr: () => {},
  clock: { wallMs: () => 0, monotonicMs: () => 0 },
  onExit: () => {},
};

/** Whether a component has anything of HTTP. Only then is it loaded. */
function usesHttp({ imports, exports }: RunnerStart['types']): boolean {
  return [...imports, ...exports].some(({ name }) => name.startsWith('wasi:http/'));
}

let logAllowance = LOG_BYTES_PER_SECOND;
let logRefilledMs = performance.now();

const EMPTY = new Uint8Array(0);

function sendLine(kind: GuestLogKind, line: Uint8Array, context: Uint8Array = EMPTY): void {
  const nowMs = performance.now();
  logAllowance = Math.min(LOG_BYTES_PER_SECOND, logAllowance + (nowMs - logRefilledMs) * (LOG_BYTES_PER_SECOND / 1000));
  logRefilledMs = nowMs;
  const cost = line.length + context.length + 64;
  if (cost > logAllowance) return;
  logAllowance -= cost;
  writer.open(FRAME.log, 0, 3 + context.length + line.length);
  writer.u8(GUEST_LOG_KINDS.indexOf(kind));
  writer.u16(context.length);
  writer.bytes(context);
  writer.bytes(line);
}

pipe.on('data', (chunk: Buffer) => {
  if (!reader.push(chunk)) exit(70);
});
pipe.on('error', () => exit(0));
pipe.on('close', () => exit(0));
pipe.on('end', () => exit(0));
// The pipe says when it is over. These reach it when somebody means the host and signals the whole group: a terminal on Ctrl-C, a
// service manager that stops a unit. The host then still finishes what runs here.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => {});
// Generated code leaves rejections of its own behind; a call that fails is told to the host on its own way.
process.on('unhandledRejection', () => {});
