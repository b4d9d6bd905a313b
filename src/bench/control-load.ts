import { createHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { TrellisError } from '../errors.ts';
import type { LatticeLink } from '../lattice/links.ts';
import type { LatticeConnection } from '../nats/connection.ts';
import { processCpuUs } from './process-usage.ts';

/** One kind of control request, so many a second, whether or not the ones before have their answers. */
export interface ControlRow {
  readonly request: string;
  readonly perSecond: number;
  /** Requests that were sent. */
  readonly asked: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the host process a request, all threads, with that of the request before it, if there is one. */
  readonly hostCpuUs: number;
  readonly answerBytes: number;
  /** Answers that were no success, or none at all. */
  readonly failed: number;
}

/** Links that stand with one source. */
export const LINKS_EACH = 100;
/** As many as a busy scheduler sends; far below where a host begins to turn requests away. */
const PER_SECOND = 100;
/** Of what is answered with all links of the lattice, megabytes of them. */
const ALL_LINKS_PER_SECOND = 5;
const IN_FLIGHT = 8;
const REQUEST_MS = 10_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

interface Asked {
  readonly isSuccess: boolean;
  /** From sending the request to its answer's last byte, milliseconds; what reading it takes is no matter of the host. */
  readonly tookMs: number;
  readonly bytes: number;
  /** What the answer says, or why there was none. */
  readonly said: string;
}

async function ask(ctl: LatticeConnection, subject: string, body: object | undefined): Promise<Asked> {
  const payload = body === undefined ? new Uint8Array(0) : encoder.encode(JSON.stringify(body));
  const sentMs = performance.now();
  try {
    const answer = await ctl.request(subject, payload, { timeoutMs: REQUEST_MS });
    const tookMs = performance.now() - sentMs;
    const { success, message } = JSON.parse(decoder.decode(answer.payload)) as { success?: boolean; message?: string };
    return { isSuccess: success === true, tookMs, bytes: answer.payload.length, said: message ?? '' };
  } catch (error) {
    return { isSuccess: false, tookMs: performance.now() - sentMs, bytes: 0, said: String(error) };
  }
}

/** One link of the many; each source has {@link LINKS_EACH} of them. */
function linkAt(at: number): LatticeLink {
  return {
    source_id: `full-${Math.floor(at / LINKS_EACH)}`,
    target: `full-${(at * 7) % LINKS_EACH}`,
    name: `link-${at % LINKS_EACH}`,
    wit_namespace: 'trellis-samples',
    wit_package: 'echo',
    interfaces: ['bytes'],
    source_config: [],
    target_config: [],
  };
}

/** Puts all links through the control interface; returns how many a second. @throws TRELLIS_INTERNAL if one is refused */
export async function putLinks(ctl: LatticeConnection, lattice: string, { links }: { links: number }): Promise<number> {
  const beganMs = performance.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < links) {
      const link = linkAt(next++);
      const { isSuccess, said } = await ask(ctl, `wasmbus.ctl.v1.${lattice}.link.put`, link);
      if (!isSuccess)
        throw new TrellisError('TRELLIS_INTERNAL', { message: `the link ${link.source_id} ${link.name} was refused: ${said}` });
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return links / ((performance.now() - beganMs) / 1_000);
}

/** Measures each kind of request in turn. */
export async function measureControl(
  ctl: LatticeConnection,
  options: { readonly lattice: string; readonly pid: number; readonly links: number; readonly durationMs: number },
): Promise<ControlRow[]> {
  const base = `wasmbus.ctl.v1.${options.lattice}`;
  const { payload } = await ctl.request(`${base}.host.ping`, new Uint8Array(0), { timeoutMs: REQUEST_MS });
  const host = (JSON.parse(decoder.decode(payload)) as { response: { id: string } }).response.id;
  await ask(ctl, `${base}.config.put.measured`, { key: 'value' });
  const { links } = options;
  /** The same link with other interfaces, or the host would have nothing to write. */
  const changed = (at: number): LatticeLink => ({
    ...linkAt(at % links),
    interfaces: ['bytes', `change-${Math.floor(at / links)}`],
  });
  type Body = (at: number) => object | undefined;
  const kinds: readonly (readonly [request: string, subject: string, body: Body, before?: Body])[] = [
    ['host.ping', `${base}.host.ping`, () => undefined],
    ['host.get', `${base}.host.get.${host}`, () => undefined],
    ['label.put', `${base}.label.put.${host}`, (at) => ({ key: `measured-${at % 10}`, value: `${at}` })],
    ['config.get', `${base}.config.get.measured`, () => undefined],
    ['config.put', `${base}.config.put.measured`, (at) => ({ key: `${at}` })],
    ['claims.get', `${base}.claims.get`, () => undefined],
    ['link.put', `${base}.link.put`, changed],
    ['link.get', `${base}.link.get`, () => undefined],
    [
      'link.get after link.put',
      `${base}.link.get`,
      () => undefined,
      (at) => ({ ...linkAt(at % links), interfaces: [`now-${at}`] }),
    ],
  ];
  const rows: ControlRow[] = [];
  for (const [request, subject, body, before] of kinds) {
    const perSecond = subject.endsWith('.link.get') ? ALL_LINKS_PER_SECOND : PER_SECOND;
    const histogram = createHistogram({ lowest: 1, highest: 60_000_000_000, figures: 3 });
    const cpuUs = processCpuUs(options.pid);
    const beganMs = performance.now();
    let [asked, failed, answerBytes] = [0, 0, 0];
    const once = async (): Promise<void> => {
      const at = asked++;
      const hasBegun = before === undefined || (await ask(ctl, `${base}.link.put`, before(at))).isSuccess;
      const { isSuccess, tookMs, bytes } = await ask(ctl, subject, body(at));
      histogram.record(Math.max(1, Math.round(tookMs * 1e6)));
      answerBytes = Math.max(answerBytes, bytes);
      if (!isSuccess || !hasBegun) failed++;
    };
    const waiting: Promise<void>[] = [];
    while (performance.now() - beganMs < options.durationMs) {
      const due = Math.floor(((performance.now() - beganMs) / 1_000) * perSecond) + 1;
      while (waiting.length < due) waiting.push(once());
      await sleep(1);
    }
    await Promise.all(waiting);
    rows.push({
      request,
      perSecond,
      asked,
      p50Ms: histogram.percentile(50) / 1e6,
      p99Ms: histogram.percentile(99) / 1e6,
      hostCpuUs: (processCpuUs(options.pid) - cpuUs) / asked,
      answerBytes,
      failed,
    });
  }
  return rows;
}
