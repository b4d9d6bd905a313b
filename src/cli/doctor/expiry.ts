import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { HostConfig } from '../../config/schema.ts';
import type { LatticeConnection } from '../../nats/connection.ts';
import { readTls } from '../../nats/peer-certificate.ts';
import type { Check, CheckProblem, CheckValue } from './check.ts';
import { verdictOf } from './check.ts';

type Outcome = Omit<Check, 'name' | 'durationMs'>;

/** What ends within this time is a warning: two weeks, milliseconds. */
const SOON_MS = 14 * 86_400_000;
const DAY_MS = 86_400_000;
/** Credentials are often made for hours and renewed by a program; then a tenth of their life is soon. */
const RENEWED_MS = 3 * DAY_MS;

/** When the user's JWT ends. */
export function credentialsCheck(
  partition: 'ctl' | 'rpc',
  config: HostConfig,
  connection: LatticeConnection | undefined,
  nowMs: number,
): Outcome {
  const { credsFile, jwtFile, seedFile, jwt, seed } = config[partition];
  if ([credsFile, jwtFile, seedFile, jwt, seed].every((each) => each === undefined)) {
    return { verdict: 'ok', found: 'none: it logs in as nobody, or by certificate', problems: [], values: [] };
  }
  if (connection === undefined) return { verdict: 'unknown', found: 'not connected', problems: [], values: [] };
  const endsMs = connection.credentialsExpireMs;
  if (endsMs === undefined) return { verdict: 'ok', found: 'end at no set time', problems: [], values: [] };
  return ending(
    `${partition} credentials`,
    `${partition}.credsFile`,
    [['the JWT', endsMs]],
    nowMs,
    'credentials_left',
    RENEWED_MS,
  );
}

/** When certificates end: the server's, the client's, and those of the authorities that are trusted. */
export async function certificateCheck(
  partition: 'ctl' | 'rpc',
  config: HostConfig,
  connection: LatticeConnection | undefined,
  nowMs: number,
): Promise<Outcome> {
  const { tls } = config[partition];
  const server = connection === undefined ? undefined : await readTls(connection);
  const ends: (readonly [what: string, endsMs: number])[] = [];
  if (server !== undefined) ends.push(["the server's", server.certificateEndsMs]);
  for (const [what, file] of [
    ['the client', tls?.certFile],
    ['an authority', tls?.caFile],
  ] as const) {
    const endsMs = file === undefined ? undefined : firstEnd(file);
    if (endsMs !== undefined) ends.push([what, endsMs]);
  }
  if (ends.length === 0) return { verdict: 'ok', found: 'none in use', problems: [], values: [] };
  return ending(`${partition} certificates`, `${partition}.tls`, ends, nowMs, 'certificates_left', SOON_MS);
}

function ending(
  what: string,
  setting: string,
  ends: readonly (readonly [what: string, endsMs: number])[],
  nowMs: number,
  name: string,
  soonMs: number,
): Outcome {
  const [first, endsMs] = ends.reduce((a, b) => (b[1] < a[1] ? b : a));
  const leftMs = endsMs - nowMs;
  const date = new Date(endsMs).toISOString();
  const found = `${first} ends on ${date}, in ${(leftMs / DAY_MS).toFixed(1)} days`;
  const problem: CheckProblem = {
    code: setting.endsWith('tls') ? 'START-12' : 'START-06',
    severity: leftMs <= 0 ? 'refused' : 'warning',
    summary: `The ${what} ${leftMs <= 0 ? `ended on ${date}` : `end in ${(leftMs / DAY_MS).toFixed(1)} days`}.`,
    setting,
    why: 'From then on the server, or this host, refuses the connection.',
    fix: 'Replace the file; a running host takes the new one over by itself.',
  };
  const problems = leftMs < soonMs ? [problem] : [];
  const values: CheckValue[] = [{ name, value: leftMs / 1_000, unit: 's' }];
  return { verdict: verdictOf(problems), found, problems, values };
}

/** When the first certificate in a file ends that has not ended yet, or the last one did. Never throws. */
function firstEnd(file: string): number | undefined {
  try {
    const blocks = readFileSync(file, 'utf8').match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
    const ends = blocks.map((block) => new X509Certificate(block).validToDate.getTime());
    const ahead = ends.filter((endsMs) => endsMs > Date.now());
    return ahead.length > 0 ? Math.min(...ahead) : Math.max(...ends);
  } catch {
    // What is wrong with a file is said by the check of the settings.
    return undefined;
  }
}
