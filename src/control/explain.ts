import { CATALOGUE, type ErrorCode } from '../errors.ts';
import type { LatticeName } from '../ids.ts';
import type { Audit, AuditRecord } from '../telemetry/audit.ts';
import type { Scrubber } from '../telemetry/scrub.ts';
import { isTokenId } from '../trust/claim-values.ts';
import { newTokenId } from '../trust/signer.ts';
import type { Bus, BusSubscription } from '../wrpc/bus.ts';
import { isInboxSubject } from '../wrpc/subjects.ts';

/** A refusal as a host explains it. */
export interface Explanation {
  /** ISO 8601. */
  readonly time: string;
  readonly host: string;
  readonly code: string;
  readonly detail: string | undefined;
  readonly origin: string | undefined;
  /** Its lattice, if it called from another NATS account. */
  readonly originLattice: string | undefined;
  /** True if the origin was proven. */
  readonly proven: boolean;
  readonly signer: string | undefined;
  readonly component: string | undefined;
  readonly operation: string | undefined;
  /** What the code means, and what to do about it. */
  readonly meaning: string;
  readonly remedy: string;
}

const MAX_EXPLANATIONS = 20;

/** Subject on which every host hears what `trellis explain` asks, and only a host that knows the id answers. */
export function explainSubject(lattice: LatticeName, correlation: string): string {
  return `wasmbus.ctl.v1.${lattice}.trust.explain.${correlation}`;
}

/** What to type in order to ask. One id in 64 begins like a flag. */
export function explainCommand(correlation: string): string {
  return `trellis explain ${correlation.startsWith('-') ? '-- ' : ''}${correlation}`;
}

/** What {@link serveExplanations} takes. */
export interface ExplainOptions {
  /** The control connection. */
  readonly ctl: Bus;
  readonly lattice: LatticeName;
  /** Public key of the host. */
  readonly host: string;
  readonly audit: Audit;
  readonly scrubber: Scrubber;
}

/** Answers what `explainSubject` asks, from the refusals that this host remembers. */
export function serveExplanations({ ctl, lattice, host, audit, scrubber }: ExplainOptions): BusSubscription {
  return ctl.subscribe(explainSubject(lattice, '*'), {}, (message) => {
    const correlation = message.subject.slice(message.subject.lastIndexOf('.') + 1);
    if (!isInboxSubject(message.reply) || !isTokenId(correlation)) return;
    const found = audit.find(correlation).slice(-MAX_EXPLANATIONS);
    if (found.length === 0) return;
    audit.record({ kind: 'control', code: 'ok', operation: 'trust.explain', detail: correlation });
    message.line.publish(
      message.reply,
      Buffer.from(scrubber.scrubJson(JSON.stringify(found.map((record) => explain(host, record))))),
    );
  });
}

// A copy of one token may have been refused by several hosts; the others are not far behind the first.
const OTHERS_MS = 200;

/**
 * Asks every host of the lattice about a refusal. Empty if none that is there knows the id; hosts remember their last 10,000 refusals.
 * @param waitMs - How long to wait for the first answer.
 */
export async function askExplanations(
  ctl: Bus,
  lattice: LatticeName,
  correlation: string,
  waitMs: number,
): Promise<Explanation[]> {
  const found: Explanation[] = [];
  const reply = `${ctl.inboxPrefix}.explain.${newTokenId()}`;
  await new Promise<void>((resolve) => {
    let timer = setTimeout(finish, waitMs);
    const subscription = ctl.subscribe(reply, {}, (message) => {
      clearTimeout(timer);
      if (message.status !== 0) {
        finish();
        return;
      }
      found.push(...parseExplanations(message.payload));
      timer = setTimeout(finish, OTHERS_MS);
    });
    function finish(): void {
      clearTimeout(timer);
      subscription.unsubscribe();
      resolve();
    }
    ctl.publish(explainSubject(lattice, correlation), new Uint8Array(0), { reply });
  });
  return found.sort((a, b) => (a.time < b.time ? -1 : 1));
}

function explain(host: string, record: AuditRecord): Explanation {
  const { code, detail, origin, originLattice, proven = false, signer, component, operation } = record;
  const time = new Date(record.timeMs).toISOString();
  return { time, host, code, detail, origin, originLattice, proven, signer, component, operation, ...catalogued(code) };
}

function catalogued(code: string): { readonly meaning: string; readonly remedy: string } {
  const entry = Object.hasOwn(CATALOGUE, code) ? CATALOGUE[code as ErrorCode] : undefined;
  return { meaning: entry?.meaning ?? 'This version does not know the code.', remedy: entry?.remedy ?? 'See docs/errors.md.' };
}

/** The explanations in an answer; what is none is left out. */
export function parseExplanations(payload: Uint8Array): Explanation[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    const entries = Array.isArray(value) ? value.slice(0, MAX_EXPLANATIONS) : [];
    return entries.map(readExplanation).filter((entry) => entry !== undefined);
  } catch {
    return [];
  }
}

/** An explanation out of a parsed answer or a line of an audit file; `undefined` for what could be none. */
export function readExplanation(value: unknown): Explanation | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = value as Partial<Record<keyof Explanation, unknown>>;
  const text = (name: keyof Explanation): string | undefined => {
    const found = fields[name];
    return typeof found === 'string' ? found : undefined;
  };
  const [time, host, code] = [text('time'), text('host'), text('code')];
  if (time === undefined || host === undefined || code === undefined) return undefined;
  const known = catalogued(code);
  return {
    time,
    host,
    code,
    detail: text('detail'),
    origin: text('origin'),
    originLattice: text('originLattice'),
    proven: fields.proven === true,
    signer: text('signer'),
    component: text('component'),
    operation: text('operation'),
    meaning: text('meaning') ?? known.meaning,
    remedy: text('remedy') ?? known.remedy,
  };
}
