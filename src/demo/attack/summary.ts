import { execFileSync } from 'node:child_process';
import { verify } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../../clock.ts';
import { readVersions } from '../../config/version.ts';
import { TrellisError } from '../../errors.ts';
import { bytesDigest, decodeBase64url } from '../../trust/canonical.ts';
import { parsePublicKey } from '../../trust/nkey.ts';
import { ELSEWHERE } from './elsewhere.ts';
import type { AttackReport } from './run.ts';

/**
 * The summary of a run: a JSON file, and beside it `<file>.sig` with one line, `att1.<public key>.<signature>`. The signature
 * is Ed25519 over D("attacks", bytes of the file) (src/trust/canonical.ts), by the cluster key of the lattice that was attacked.
 * That key is made for the run and gone afterwards, so nobody can sign another summary with it; its public half is in the
 * command's output, for whoever wants to compare.
 */

const SIGNATURE_SUFFIX = '.sig';
const FORM = /^att1\.(C[A-Z2-7]{55})\.([A-Za-z0-9_-]{86})\n$/;
const SIGNATURE_BYTES = 64;
const packageRoot = fileURLToPath(new URL('../../../', import.meta.url));

const overSummary = bytesDigest('attacks');
const signedBytes = (summary: Uint8Array): Buffer => Buffer.from(overSummary(summary, 'binary'), 'latin1');

/** The commit of the tree that runs, if it is a working copy. */
function commitOf(root: string): string | undefined {
  if (!existsSync(join(root, '.git'))) return undefined;
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

/** What the summary file holds. */
export function summaryOf(report: AttackReport, clock: Clock) {
  const { rows, verify: verifyMode, natsServer, clusterKey } = report;
  const surprises = rows.filter(({ expected }) => !expected).length;
  const commit = commitOf(packageRoot);
  return {
    trellis: readVersions().trellis,
    ...(commit === undefined ? {} : { commit }),
    date: new Date(clock.wallMs()).toISOString(),
    natsServer,
    node: process.versions.node,
    hosts: 3,
    verify: verifyMode,
    clusterKey,
    counts: {
      attacks: rows.length,
      asExpected: rows.length - surprises,
      surprises,
      guestRan: rows.filter(({ guestRan }) => guestRan).length,
      genuineCalls: rows.reduce((sum, { genuine }) => sum + genuine.ok, 0),
    },
    rows,
    elsewhere: ELSEWHERE,
  };
}

/** Writes summary and signature; folders are made. @throws TRELLIS_CLI_FILE */
export async function writeSummary(file: string, summary: object, sign: AttackReport['sign']): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(summary, undefined, 2)}\n`);
  const { clusterKey } = summary as { clusterKey: string };
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, bytes);
    await writeFile(file + SIGNATURE_SUFFIX, `att1.${clusterKey}.${sign(signedBytes(bytes)).toString('base64url')}\n`);
  } catch (cause) {
    throw new TrellisError('TRELLIS_CLI_FILE', { message: `the summary ${file} cannot be written`, cause });
  }
}

/** What a check of a summary says. `key` is the public key whose signature it is; absent if none can be read. */
export type SummaryVerdict =
  | { readonly valid: true; readonly key: string }
  | { readonly valid: false; readonly key?: string; readonly reason: string };

/** Checks a summary against the signature beside it. @throws TRELLIS_CLI_FILE if one of the two cannot be read */
export async function checkSummary(file: string): Promise<SummaryVerdict> {
  const read = (path: string): Promise<Buffer> =>
    readFile(path).catch((cause: unknown) => {
      throw new TrellisError('TRELLIS_CLI_FILE', { message: `${path} cannot be read`, cause });
    });
  const [bytes, text] = await Promise.all([read(file), read(file + SIGNATURE_SUFFIX)]);
  return judgeSummary(bytes, text.toString('latin1'));
}

/** Judges a summary and the text of its signature. Never throws. */
export function judgeSummary(summary: Uint8Array, signatureText: string): SummaryVerdict {
  const [, key = '', encoded = ''] = FORM.exec(signatureText) ?? [];
  if (key === '') return { valid: false, reason: 'the signature is not in its one form' };
  const parsed = parsePublicKey(key);
  if (!parsed.ok || parsed.kind !== 'cluster') return { valid: false, reason: 'the signature names no cluster key' };
  const signature = decodeBase64url(encoded);
  if (signature?.length !== SIGNATURE_BYTES) return { valid: false, key, reason: 'the signature is not in its one form' };
  if (!verify(null, signedBytes(summary), parsed.key, signature)) {
    return { valid: false, key, reason: 'the signature does not fit the file' };
  }
  return { valid: true, key };
}
