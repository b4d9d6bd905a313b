/**
 * Whether a subject falls under a user's rights, judged as the server judges it. Pure; `test/integration/subject-match.test.ts` asks
 * a real server the same questions.
 */

/** One side of a user's rights as a JWT writes them: no `allow` allows everything, and `deny` wins. */
export interface SubjectRules {
  readonly allow?: readonly string[] | undefined;
  readonly deny?: readonly string[] | undefined;
}

/** Both sides. */
export interface SubjectRights {
  readonly publish: SubjectRules;
  readonly subscribe: SubjectRules;
  /** Replies to whoever asked, whatever `publish` says. */
  readonly responses?: { readonly max: number; readonly ttlMs: number } | undefined;
}

/** The server's answer, and the entry it follows from. */
export type SubjectVerdict =
  /** `by` is absent where nothing is listed, which allows everything. `except`: refusals inside what is allowed. */
  | { readonly allowed: true; readonly by?: string; readonly except?: readonly string[] }
  | { readonly allowed: false; readonly why: 'denied'; readonly by: string }
  | { readonly allowed: false; readonly why: 'not listed' | 'no subject' };

/** An entry of a list; with a queue it is only about subscriptions of that queue group (which may be a pattern itself). */
interface Entry {
  readonly text: string;
  readonly subject: string;
  readonly queue: string | undefined;
}

const entriesOf = (list: readonly string[] = []): Entry[] =>
  list.map((text) => {
    const [subject = '', queue] = text.trim().split(/\s+/, 2);
    return { text, subject, queue };
  });

const REFUSED = { allowed: false, why: 'not listed' } as const;

/** True if a server takes `text` as a subject: tokens without white space; wildcards alone in theirs, and `>` at the end. */
export function isSubject(text: string, wildcards: boolean): boolean {
  const tokens = text.split('.');
  return tokens.every((token, i) => {
    if (token === '*') return wildcards;
    if (token === '>') return wildcards && i === tokens.length - 1;
    return token !== '' && !/[\s\u007f]/.test(token) && !token.includes('\0');
  });
}

/**
 * True if an entry matches a subject, token by token. A subscription may hold wildcards itself, and they count as plain tokens, so
 * that `*` at the end of an entry matches `>` as well: servers let a user who may subscribe to `a.*` subscribe to `a.>`.
 */
export function entryMatches(entry: string, subject: string): boolean {
  const pattern = entry.split('.');
  const tokens = subject.split('.');
  for (const [i, token] of pattern.entries()) {
    if (token === '>' && i === pattern.length - 1) return tokens.length > i;
    if (i >= tokens.length || (token !== '*' && token !== tokens[i])) return false;
  }
  return tokens.length === pattern.length;
}

/** True if some subject matches both patterns. */
export function patternsMeet(a: string, b: string): boolean {
  const [left, right] = [a.split('.'), b.split('.')];
  for (let i = 0; ; i++) {
    const [one, other] = [left[i], right[i]];
    if (one === undefined || other === undefined) return one === other;
    if (one === '>' || other === '>') return true;
    if (one !== other && one !== '*' && other !== '*') return false;
  }
}

/** May a user with these rights publish to a subject? Replies that `responses` allows are another matter. */
export function judgePublish(subject: string, { allow, deny }: SubjectRules): SubjectVerdict {
  if (!isSubject(subject, false)) return { allowed: false, why: 'no subject' };
  const listed = allow === undefined ? undefined : allow.find((entry) => entryMatches(entry, subject));
  if (allow !== undefined && listed === undefined) return REFUSED;
  const denied = deny?.find((entry) => entryMatches(entry, subject));
  if (denied !== undefined) return { allowed: false, why: 'denied', by: denied };
  return { allowed: true, ...(listed === undefined ? {} : { by: listed }) };
}

/**
 * May a user with these rights subscribe, alone or in a queue group? Where an allowing entry that names a queue matches the
 * subject, the queue decides. What is allowed may hold subjects that are refused; messages on them are not delivered (`except`).
 */
export function judgeSubscribe(subject: string, { allow, deny }: SubjectRules, queue?: string): SubjectVerdict {
  if (!isSubject(subject, true)) return { allowed: false, why: 'no subject' };
  const listed = allow === undefined ? undefined : admitting(entriesOf(allow), subject, queue);
  if (allow !== undefined && listed === undefined) return REFUSED;
  const denied = entriesOf(deny).find((entry) => entryMatches(entry.subject, subject) && appliesTo(entry, queue));
  if (denied !== undefined) return { allowed: false, why: 'denied', by: denied.text };
  const except = entriesOf(deny).filter((entry) => entry.queue === undefined && patternsMeet(entry.subject, subject));
  return {
    allowed: true,
    ...(listed === undefined ? {} : { by: listed.text }),
    ...(except.length === 0 ? {} : { except: except.map(({ text }) => text) }),
  };
}

/** The entry by which a subscription is allowed. */
function admitting(entries: readonly Entry[], subject: string, queue: string | undefined): Entry | undefined {
  const matching = entries.filter((entry) => entryMatches(entry.subject, subject));
  const queued = matching.filter((entry) => entry.queue !== undefined);
  const deciding = queue !== undefined && queued.length > 0 ? queued : matching;
  return deciding.find((entry) => appliesTo(entry, queue));
}

function appliesTo(entry: Entry, queue: string | undefined): boolean {
  return entry.queue === undefined || (queue !== undefined && entryMatches(entry.queue, queue));
}
