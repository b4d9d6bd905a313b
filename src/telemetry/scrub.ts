/**
 * The last gate before a line leaves the process. Redaction by field name misses what somebody interpolated into a
 * message, so every line is also searched for the values themselves: registered secrets and everything that has the
 * shape of an nkey seed, a JWT or a creds block.
 */

/** Stands where a secret stood. */
export const REDACTED = '[redacted]';

const SHORTEST_SECRET = 8;
const SEED = /S[ACMNOUVX]A[A-Z2-7]{55}/g;
/** A seed in base64 begins like this and has 78 characters, the last of them perhaps shared with what follows. */
const BASE64_SEED = /U[01][A-Za-z0-9+/]{76}/g;
const TOKEN = /eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}/g;
const PEM = /-----BEGIN [A-Z0-9 ]*(?:KEY|SEED|JWT)-----[\s\S]*?(?:-----END [A-Z0-9 ]*-----|$)/g;
// C1 controls, DEL, line separators and direction marks: JSON leaves them as they are, a terminal obeys them.
const INVISIBLE = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

const NAMED: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

const escapeUnit = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Removes secrets from text by their value. One per process, filled while settings and files are read. */
export class Scrubber {
  /** Longest first: the escaped form of a secret must go before the plain form inside it, or a lone backslash stays. */
  #known: readonly string[] = [];

  /**
   * Remembers a secret so that no line shows it, plain, base64 or JSON-escaped. Of a text of several lines (a creds file) each
   * line counts. Values under 8 characters are ignored: hiding them would blank ordinary words. A seed is not kept: its shape
   * gives it away, and what is kept stands in every heap snapshot.
   */
  register(secret: string): void {
    const known = new Set(this.#known);
    for (const part of secret.split(/\r?\n/)) {
      const text = part.trim();
      if (text.length < SHORTEST_SECRET || text.startsWith('-----') || text.replace(SEED, '') === '') continue;
      known.add(text);
      known.add(JSON.stringify(text).slice(1, -1));
      known.add(Buffer.from(text).toString('base64').replace(/=+$/, ''));
    }
    this.#known = [...known].sort((a, b) => b.length - a.length);
  }

  /** Returns `text` with every secret replaced by {@link REDACTED}. */
  scrub(text: string): string {
    let out = text;
    for (const secret of this.#known) {
      if (out.includes(secret)) out = out.replaceAll(secret, REDACTED);
    }
    if (out.includes('-----BEGIN ')) out = out.replace(PEM, REDACTED);
    if (out.includes('eyJ')) out = out.replace(TOKEN, REDACTED);
    out = out.replace(BASE64_SEED, (text) => (isSeedInBase64(text) ? REDACTED : text));
    return out.replace(SEED, REDACTED);
  }

  /** Returns a line of JSON, scrubbed, with invisible characters escaped: one line stays one line on every terminal. */
  scrubJson(line: string): string {
    return visibleJson(this.scrub(line));
  }
}

function isSeedInBase64(text: string): boolean {
  return Buffer.from(text, 'base64').toString('latin1').replace(SEED, '') === '';
}

/** Returns JSON that says the same in characters that a terminal shows and does not obey: JSON itself leaves some of them alone. */
export function visibleJson(json: string): string {
  return json.replace(INVISIBLE, escapeUnit);
}

/** Returns `text` on one line of visible characters: controls (ANSI, CR, LF) come back spelled out, as `\n` or `\u001b`. */
export function visible(text: string): string {
  return text.replace(/\p{Cc}/gu, (c) => NAMED[c] ?? escapeUnit(c)).replace(INVISIBLE, escapeUnit);
}
