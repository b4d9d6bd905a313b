import { hash, randomBytes } from 'node:crypto';
import { decodeBase64url, domainPrefix } from './canonical.ts';
import { requestDigest } from './token.ts';

/**
 * The admission pass: 20 characters beside a token, made with a key that only members with control credentials share. It proves
 * nothing about who calls and lets nobody in. It says that a signature check is worth its time, which whoever holds rpc credentials alone
 * cannot say of a forgery.
 */

/** Characters of the key's name, then of the tag. */
const NAME_CHARS = 4;
const TAG_CHARS = 16;
const PASS_CHARS = NAME_CHARS + TAG_CHARS;
const KEY_BYTES = 32;
const DIGEST_CHARS = 43;
/** The newest one makes passes; the others are still good for those who have not heard of it. */
const MAX_KEYS = 4;
/** A key is not used to make passes before the others can have heard of it. */
const SETTLE_MS = 2_000;
/** A key said to be from further in the future is not believed: it would stand for ever. */
const MAX_AHEAD_MS = 10 * 60_000;
const MAX_TEXT_CHARS = 4 + MAX_KEYS * (1 + 16 + 1 + DIGEST_CHARS);

const LABEL = domainPrefix('pass');
const ENTRY = /^(0|[1-9]\d{0,15}):([A-Za-z0-9_-]{43})$/;

/** One key. Its bytes lie in private memory of this object and are in no text but {@link PassKeys.text}. */
class PassKey {
  /** When it was made, milliseconds since the Unix epoch, by its maker's clock. */
  readonly madeMs: number;
  readonly name: string;
  /** Label, key, and room for a digest: what a tag is the hash of. All parts have fixed lengths. */
  readonly #frame: Buffer;

  constructor(madeMs: number, bytes: Uint8Array) {
    this.madeMs = madeMs;
    this.#frame = Buffer.concat([LABEL, bytes, Buffer.alloc(DIGEST_CHARS)]);
    this.name = hash('sha256', Buffer.concat([domainPrefix('pass-name'), bytes]), 'base64url').slice(0, NAME_CHARS);
  }

  pass(digest: string): string {
    this.#frame.write(digest, LABEL.length + KEY_BYTES, DIGEST_CHARS, 'latin1');
    return this.name + hash('sha256', this.#frame, 'base64url').slice(0, TAG_CHARS);
  }

  text(): string {
    return `${this.madeMs}:${this.#frame.toString('base64url', LABEL.length, LABEL.length + KEY_BYTES)}`;
  }
}

function sameText(a: string, b: string): boolean {
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) difference |= a.charCodeAt(at) ^ b.charCodeAt(at);
  return difference === 0;
}

function parseKeys(text: string): PassKey[] | undefined {
  if (text.length > MAX_TEXT_CHARS) return undefined;
  const [form, ...entries] = text.split(' ');
  if (form !== 'pk1' || entries.length === 0 || entries.length > MAX_KEYS) return undefined;
  const keys: PassKey[] = [];
  for (const entry of entries) {
    const [, madeMs, key] = ENTRY.exec(entry) ?? [];
    const bytes = key === undefined ? undefined : decodeBase64url(key);
    if (bytes === undefined || bytes.length !== KEY_BYTES) return undefined;
    keys.push(new PassKey(Number(madeMs), bytes));
  }
  return keys;
}

/** What merging somebody's keys came to. */
export type Merged =
  /** They held nothing new. */
  | 'same'
  /** Keys were added. */
  | 'added'
  /** Their newest key is older than ours: they should be told. */
  | 'behind'
  | 'malformed';

/** The pass keys that this member knows, newest first. */
export class PassKeys {
  readonly #wallMs: () => number;
  #keys: PassKey[] = [];

  /** @param wallMs milliseconds since the Unix epoch */
  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** Age of the newest key, milliseconds; `undefined` without one. */
  get ageMs(): number | undefined {
    const newest = this.#keys[0];
    return newest === undefined ? undefined : this.#wallMs() - newest.madeMs;
  }

  /** Adds a new random key. */
  make(): void {
    this.#add([new PassKey(Math.floor(this.#wallMs()), randomBytes(KEY_BYTES))]);
  }

  /** Takes over what another member knows. Never throws. */
  merge(text: string): Merged {
    const theirs = parseKeys(text);
    if (theirs === undefined) return 'malformed';
    const before = this.#keys[0];
    const latestMs = this.#wallMs() + MAX_AHEAD_MS;
    const added = this.#add(theirs.filter(({ madeMs }) => madeMs <= latestMs));
    if (before !== undefined && !theirs.some(({ name }) => name === before.name) && this.#keys[0] === before) return 'behind';
    return added ? 'added' : 'same';
  }

  /** All keys, for a control subject and for nothing else; `undefined` without one. */
  text(): string | undefined {
    return this.#keys.length === 0 ? undefined : ['pk1', ...this.#keys.map((key) => key.text())].join(' ');
  }

  /** The pass of a token, by its digest (`requestDigest`); `undefined` without a key. Costs about 1 µs. */
  passFor(digest: string): string | undefined {
    const settledMs = this.#wallMs() - SETTLE_MS;
    const key = this.#keys.find(({ madeMs }) => madeMs <= settledMs) ?? this.#keys[0];
    return key?.pass(digest);
  }

  /** True if a member made this pass for this token. A pass of an unknown key costs no hash. */
  vouches(pass: string | undefined, token: string): boolean {
    if (pass === undefined || pass.length !== PASS_CHARS) return false;
    const key = this.#keys.find(({ name }) => pass.startsWith(name));
    return key !== undefined && sameText(key.pass(requestDigest(token)), pass);
  }

  #add(keys: readonly PassKey[]): boolean {
    const fresh = keys.filter(({ name }) => !this.#keys.some((known) => known.name === name));
    if (fresh.length === 0) return false;
    this.#keys = [...this.#keys, ...fresh]
      // Two that were made in the same millisecond have one order everywhere.
      .sort((a, b) => b.madeMs - a.madeMs || (a.name < b.name ? 1 : -1))
      .slice(0, MAX_KEYS);
    return this.#keys.some((key) => fresh.includes(key));
  }
}
