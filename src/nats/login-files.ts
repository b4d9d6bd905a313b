import type { Clock } from '../clock.ts';
import type { AlarmCode, Alarms } from '../telemetry/alarms.ts';
import type { Logger } from '../telemetry/log.ts';
import type { CredentialFiles, Credentials, UserCredentials } from './credentials.ts';
import { ExpiryWatch } from './expiry-watch.ts';
import type { FileVerdict } from './file-verdict.ts';
import { FileWatch } from './file-watch.ts';
import type { TlsSettings } from './endpoint.ts';
import type { TlsFiles, TlsMaterial } from './tls-files.ts';

/** What {@link LoginFiles} is made of. */
export interface LoginFilesOptions {
  readonly partition: string;
  readonly files: CredentialFiles & { readonly tls?: TlsSettings | undefined };
  readonly credentials: Credentials | undefined;
  readonly tls: TlsFiles | undefined;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly log: Logger;
  /** The files were looked at, and what can be used of them taken. */
  readonly onLooked: () => void;
  /** Between two looks when nothing says that a file changed, milliseconds. Default 5 000. */
  readonly pollMs?: number | undefined;
}

const POLL_MS = 5_000;
/** How long a file may be wrong before anybody is alarmed: it may be half way to being right. */
const PATIENCE_MS = 1_000;

/**
 * The files that a connection logs in with, watched. What can be used of them is in {@link credentials} and {@link tls}; what
 * cannot raises an alarm, which ends when the files are right again.
 */
export class LoginFiles {
  readonly #o: LoginFilesOptions;
  readonly #watch: FileWatch | undefined;
  readonly #expiry: ExpiryWatch;
  readonly #raised = new Set<AlarmCode>();
  #looking: Promise<void> | undefined;
  #again = false;
  #wrongSinceMs: number | undefined;
  #second: NodeJS.Timeout | undefined;
  #over = false;

  constructor(options: LoginFilesOptions) {
    this.#o = options;
    const { partition, alarms, clock, log } = options;
    this.#expiry = new ExpiryWatch({ partition, alarms, clock, log });
    const { files } = options;
    const names = [files.credsFile, files.jwtFile, files.seedFile, files.tls?.caFile, files.tls?.certFile, files.tls?.keyFile];
    const present = names.filter((file) => file !== undefined);
    if (present.length > 0)
      this.#watch = new FileWatch({ files: present, pollMs: options.pollMs ?? POLL_MS, onLook: () => void this.look() });
    this.#expiry.look(this.credentials, this.tls);
  }

  /** The newest that can be used. */
  get credentials(): UserCredentials | undefined {
    return this.#o.credentials?.current;
  }

  /** The newest that can be used. */
  get tls(): TlsMaterial | undefined {
    return this.#o.tls?.current;
  }

  /** Looks at the files now. Never rejects; looks do not overlap. */
  look(): Promise<void> {
    if (this.#looking !== undefined) {
      this.#again = true;
      return this.#looking;
    }
    this.#looking = this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  close(): void {
    this.#over = true;
    this.#watch?.close();
    clearTimeout(this.#second);
    for (const code of this.#raised) this.#o.alarms.clear(code, this.#o.partition);
    this.#expiry.close();
  }

  async #look(): Promise<void> {
    do {
      this.#again = false;
      const { credentials, tls, clock } = this.#o;
      const nowMs = clock.wallMs();
      const verdicts = await Promise.all([credentials?.check(nowMs), tls?.check(nowMs)]);
      if (this.#over) return;
      this.#judge(verdicts.filter((verdict) => verdict?.ok === false));
      this.#expiry.look(this.credentials, this.tls);
      this.#o.onLooked();
    } while (this.#again);
  }

  #judge(wrong: readonly (FileVerdict & { readonly ok: false })[]): void {
    const { alarms, partition, clock } = this.#o;
    for (const code of this.#raised) {
      if (wrong.some(({ alarm }) => alarm === code)) continue;
      this.#raised.delete(code);
      alarms.clear(code, partition);
    }
    if (wrong.length === 0) {
      this.#wrongSinceMs = undefined;
      return;
    }
    const nowMs = clock.monotonicMs();
    this.#wrongSinceMs ??= nowMs;
    if (nowMs - this.#wrongSinceMs < PATIENCE_MS) {
      clearTimeout(this.#second);
      this.#second = setTimeout(() => void this.look(), PATIENCE_MS).unref();
      return;
    }
    for (const { alarm, detail } of wrong) {
      this.#raised.add(alarm);
      alarms.raise(alarm, `${partition}: ${detail}; the connection goes on with what it has`, partition);
    }
  }
}
