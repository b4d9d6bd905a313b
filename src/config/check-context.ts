import { type AllowanceName, allowancesOf } from './allowances.ts';
import { isLoopback } from './loopback.ts';
import type { Problem, StartCode } from './problems.ts';
import { showValue } from './problems.ts';
import type { HostConfig } from './schema.ts';

/** What an nkey is, told by whoever can read nkeys; this floor cannot. No answer repeats the text. */
export interface KeyFacts {
  /** Kind and public key of a seed (`SC…`, `SU…`, `SN…`), or `undefined` if it is malformed. */
  ofSeed(seed: string): { readonly kind: string; readonly publicKey: string } | undefined;
  /** Kind of a public key, or why it is none. */
  ofPublicKey(text: string): { readonly kind: string } | { readonly reason: string };
}

/** What the checks ask about the process itself. */
export interface ProcessFacts {
  /** Effective user id, or `undefined` where there is none (Windows). */
  readonly uid: number | undefined;
  /** True if a debugger port is open. */
  readonly inspectorOpen: boolean;
  /** True if a crash may write the memory of this process to a file. */
  readonly dumpsCore: boolean;
  /** Why components cannot be confined on this computer; `undefined` if they can. */
  readonly unconfined: string | undefined;
  /** Milliseconds since the Unix epoch, for expiry dates. */
  readonly nowMs: number;
}

/** What a check looks at. */
export interface CheckContext {
  readonly config: HostConfig;
  readonly sourceOf: (setting: string) => string;
  readonly keys: KeyFacts;
  readonly process: ProcessFacts;
}

/** Collects the problems of one run of the checks; fills in where each setting came from. */
export class ProblemList {
  readonly found: Problem[] = [];
  readonly #sourceOf: (setting: string) => string;

  constructor(sourceOf: (setting: string) => string) {
    this.#sourceOf = sourceOf;
  }

  /** Adds a problem. `value` is shown as far as it may be; `allowance` has to be given where its code has several. */
  add(
    code: StartCode,
    setting: string,
    o: { summary: string; why: string; fix: string; value?: unknown; warning?: boolean; allowance?: AllowanceName },
  ): void {
    const named = allowancesOf(code);
    const allowance = o.allowance ?? (named.length === 1 ? named[0] : undefined);
    this.found.push({
      code,
      severity: o.warning === true ? 'warning' : 'refused',
      summary: o.summary,
      setting,
      source: this.#sourceOf(setting),
      ...(o.value === undefined ? {} : { value: showValue(o.value) }),
      ...(o.warning === true || allowance === undefined ? {} : { allowance }),
      why: o.why,
      fix: o.fix,
    });
  }
}

/** Scheme, host and user part of a server address (`nats://`, `tls://` or bare), or `undefined` if it is none. */
export function readServer(
  server: string,
): { readonly scheme: string; readonly host: string; readonly userInfo: boolean } | undefined {
  try {
    const url = new URL(server.includes('://') ? server : `nats://${server}`);
    if (url.hostname === '') return undefined;
    return { scheme: url.protocol.slice(0, -1), host: url.hostname, userInfo: url.username !== '' || url.password !== '' };
  } catch {
    return undefined;
  }
}

/** The servers of both connections that are not on this computer. */
export function remoteServers(config: HostConfig): string[] {
  return (['ctl', 'rpc'] as const).flatMap((partition) =>
    config[partition].servers.filter((server) => {
      const address = readServer(server);
      return address !== undefined && !isLoopback(address.host);
    }),
  );
}
