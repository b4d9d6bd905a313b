/** Names of configurations in one request; each is looked up. */
export const MAX_CONFIGS = 256;
/** Characters of all texts of a request that a host keeps: for as long as it waits, runs, or stands in the lattice's data. */
export const MAX_KEPT_CHARS = 64 * 1024;

/** What a request brings that a host keeps. */
interface Kept {
  readonly texts: readonly string[];
  readonly maps?: readonly (Readonly<Record<string, string>> | null | undefined)[];
  readonly configs?: readonly string[];
}

/** Why a request is more than a host keeps, in the words of the answer; `undefined` if it is not. */
export function tooMuch({ texts, maps = [], configs = [] }: Kept): string | undefined {
  if (configs.length > MAX_CONFIGS) return `${configs.length} configurations are named; this host takes ${MAX_CONFIGS}`;
  const entries = maps.flatMap((map) => Object.entries(map ?? {}).flat());
  let chars = 0;
  for (const part of [texts, entries, configs]) for (const each of part) chars += each.length;
  return chars > MAX_KEPT_CHARS ? `the request holds ${chars} characters; this host takes ${MAX_KEPT_CHARS}` : undefined;
}
