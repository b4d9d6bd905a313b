/** How a registry wants to be convinced (`WWW-Authenticate`). */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
}

const MAX_CHARS = 8_192;
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const SCHEME = new RegExp(`[ \\t,]*(${TOKEN})(?:[ \\t]+|(?=,|$))`, 'y');
const PARAMETER = new RegExp(`[ \\t,]*(${TOKEN})[ \\t]*=[ \\t]*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))[ \\t]*(?=,|$)`, 'y');

/** Reads the challenges of a header, in order; what cannot be read ends the list. Never throws, in linear time. */
export function readChallenges(header: string | undefined): readonly Challenge[] {
  const found: Challenge[] = [];
  if (header === undefined || header.length > MAX_CHARS) return found;
  let at = 0;
  while (at < header.length) {
    SCHEME.lastIndex = at;
    const scheme = SCHEME.exec(header);
    if (scheme === null) break;
    at = SCHEME.lastIndex;
    const parameters: Record<string, string> = Object.create(null) as Record<string, string>;
    for (;;) {
      PARAMETER.lastIndex = at;
      const parameter = PARAMETER.exec(header);
      if (parameter === null) break;
      at = PARAMETER.lastIndex;
      parameters[parameter[1]!.toLowerCase()] ??= parameter[2]?.replace(/\\(.)/g, '$1') ?? parameter[3]!;
    }
    found.push({ scheme: scheme[1]!.toLowerCase(), parameters });
  }
  return found;
}
