import { createHash, createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { TrellisError } from '../errors.ts';
import { quotePath } from '../ids.ts';
import { isExposed } from './credentials.ts';
import type { TlsOptions } from './endpoint.ts';
import type { FileVerdict } from './file-verdict.ts';

/** The certificates and the key of a connection, as they stood in their files at one moment. */
export interface TlsMaterial {
  readonly digest: string;
  /** Bytes and no text: a text of a key would stay in the heap. */
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  /** Of the client certificate, milliseconds since the epoch; `undefined` without one. */
  readonly issuedMs: number | undefined;
  readonly expiresMs: number | undefined;
}

type Kind = 'caFile' | 'certFile' | 'keyFile';
const KINDS = ['caFile', 'certFile', 'keyFile'] as const;
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/**
 * The TLS files of one connection, as far as they could be used. What is half written, does not fit together, has expired or is
 * readable by others is not used: the last good ones stay.
 */
export class TlsFiles {
  readonly #options: TlsOptions;
  readonly #exposed: boolean;
  #current: TlsMaterial;

  constructor(options: TlsOptions, first: TlsMaterial, exposed: boolean) {
    this.#options = options;
    this.#current = first;
    this.#exposed = exposed;
  }

  /** The newest that can be used. */
  get current(): TlsMaterial {
    return this.#current;
  }

  /** Reads the files again and takes what is new in them, if it can be used. Never throws. */
  async check(nowMs: number): Promise<FileVerdict> {
    try {
      const texts = new Map<Kind, Buffer>();
      for (const kind of KINDS) {
        const file = this.#options[kind];
        if (file === undefined) continue;
        const { mode, uid, size } = await stat(file);
        if (size > MAX_FILE_BYTES) throw invalid(`${quotePath(file)} is too large`);
        if (kind === 'keyFile' && !this.#exposed && isExposed(mode, uid))
          return { ok: false, alarm: 'TRELLIS_ALARM_CREDENTIALS_EXPOSED', detail: `other users may read ${quotePath(file)}` };
        texts.set(kind, await readFile(file));
      }
      if (digestOf(texts) !== this.#current.digest) this.#current = materialOf(texts, this.#options, nowMs);
      return { ok: true };
    } catch (error) {
      const detail = error instanceof TrellisError ? error.message : 'the TLS files cannot be read';
      return { ok: false, alarm: 'TRELLIS_ALARM_CREDENTIALS_KEPT', detail };
    }
  }
}

/** Reads the files that `options` names, or returns `undefined` if it names none. @throws TRELLIS_NATS_TLS_INVALID */
export function openTlsFiles(options: TlsOptions | undefined): TlsFiles | undefined {
  if (options === undefined || KINDS.every((kind) => options[kind] === undefined)) return undefined;
  const texts = new Map<Kind, Buffer>();
  for (const kind of KINDS) {
    const file = options[kind];
    if (file !== undefined) texts.set(kind, readFileSync(file));
  }
  // Dates are left to the handshake: a host must be able to start while a clock is wrong, and says what is.
  const first = materialOf(texts, options, undefined);
  const { mode, uid } = options.keyFile === undefined ? { mode: 0, uid: 0 } : statSync(options.keyFile);
  return new TlsFiles(options, first, isExposed(mode, uid));
}

function materialOf(texts: ReadonlyMap<Kind, Buffer>, options: TlsOptions, nowMs: number | undefined): TlsMaterial {
  const [ca, cert, key] = KINDS.map((kind) => texts.get(kind));
  if (ca !== undefined) certificatesIn(ca, `tls.caFile ${quotePath(options.caFile ?? '')}`);
  const place = `tls.certFile ${quotePath(options.certFile ?? '')}`;
  const client = cert === undefined ? undefined : certificatesIn(cert, place)[0];
  if (client !== undefined && key !== undefined && !fits(client, key))
    throw invalid(`${place} does not fit tls.keyFile ${quotePath(options.keyFile ?? '')}, or the key is damaged`);
  const [issuedMs, expiresMs] = [client?.validFromDate.getTime(), client?.validToDate.getTime()];
  if (nowMs !== undefined && expiresMs !== undefined && expiresMs <= nowMs) throw invalid(`${place} has expired`);
  if (nowMs !== undefined && issuedMs !== undefined && issuedMs > nowMs) throw invalid(`${place} is not valid yet`);
  return {
    digest: digestOf(texts),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    issuedMs,
    expiresMs,
  };
}

function certificatesIn(pem: Buffer, place: string): X509Certificate[] {
  const found = pem.toString('latin1').match(CERTIFICATE) ?? [];
  if (found.length === 0) throw invalid(`${place} holds no certificate`);
  try {
    return found.map((text) => new X509Certificate(text));
  } catch {
    throw invalid(`${place} holds a damaged certificate`);
  }
}

function fits(certificate: X509Certificate, key: Buffer): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

function invalid(message: string): TrellisError {
  return new TrellisError('TRELLIS_NATS_TLS_INVALID', { message });
}

function digestOf(texts: ReadonlyMap<Kind, Buffer>): string {
  const hash = createHash('sha256');
  for (const [kind, bytes] of texts) hash.update(`${kind} ${bytes.length}\n`).update(bytes);
  return hash.digest('base64');
}
