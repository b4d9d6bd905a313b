import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { explainNpm, fetchArguments, npm, registryTrouble } from './npm.mjs';
import { ownNodePath } from './own-node.mjs';
import { lastLines } from './run-program.mjs';
import { SetupError } from './setup-error.mjs';
import { MODULES, ROOT, readIfThere } from './tree.mjs';

const TEN_MINUTES_MS = 600_000;

/** Puts exactly what package-lock.json says into node_modules. `inPlace` answers without doing anything. */
export const dependencies = {
  inPlace: () => missing() === undefined,

  async run(working) {
    working('npm ci');
    const trouble = await registryTrouble();
    if (trouble !== undefined) working(`npm ci from npm's cache, the registry does not answer (${trouble})`);
    const common = [...(await fetchArguments()), '--include=dev', '--include=optional'];
    let result = await npm(['ci', ...common], { timeoutMs: TEN_MINUTES_MS });
    if (result.code !== 0 && lacksOnlyForeignPackages(result.output)) {
      working('npm install, because this registry lacks packages of other platforms');
      result = await npm(['install', '--no-save', ...common], { timeoutMs: TEN_MINUTES_MS });
    }
    if (result.code !== 0) {
      const { why, remedy } = explainNpm(result, trouble);
      throw new SetupError(`The dependencies could not be installed: ${why}`, { output: lastLines(result.output, 8), remedy });
    }
    if (missing() !== undefined && ownNodePath() !== undefined) {
      // npm leaves out optional packages that do not admit the Node it runs on, and our own Node admits them all.
      working(`npm install under Trellis' own Node, because packages refuse Node ${process.versions.node}`);
      result = await npm(['install', '--no-save', ...common], { timeoutMs: TEN_MINUTES_MS, node: ownNodePath() });
    }
    if (missing() !== undefined) {
      throw new SetupError(`npm ended well, but ${missing()} is not in node_modules as package-lock.json wants it`, {
        output: lastLines(result.output, 8),
        remedy: 'Run "npm ci" by hand and look at its warnings.',
      });
    }
    const count = Object.keys(JSON.parse(npmRecord()).packages).length;
    return `${count} packages${trouble === undefined ? '' : " from npm's cache"}`;
  },
};

/**
 * npm 11.6 and later refuse a lock file without the optional packages of other platforms that the registry does not serve
 * either ("Missing: name@ from lock file", without a version). Then `npm install` may do the work: what it installed is
 * compared with the lock file all the same.
 */
export function lacksOnlyForeignPackages(output) {
  const complaints = output.match(/Missing: .*|Invalid: .*/g) ?? [];
  return complaints.length > 0 && complaints.every((line) => /^Missing: \S+@ from lock file$/.test(line.trimEnd()));
}

/** npm's own record of what it installed; it is gone while npm works, so half an installation never counts. */
function npmRecord() {
  return existsSync(MODULES) ? readIfThere(join(MODULES, '.package-lock.json')) : undefined;
}

const missing = () => missingPackage(readIfThere(join(ROOT, 'package-lock.json')), npmRecord());

/**
 * The first package that the lock file wants here and npm's record does not have in that version and with that digest;
 * undefined when all are there. Optional packages of other platforms may be missing, but not be another version.
 */
export function missingPackage(lockText, recordText, here = thisPlatform()) {
  if (lockText === undefined || recordText === undefined) return 'everything';
  let wanted;
  let present;
  try {
    wanted = JSON.parse(lockText).packages;
    present = JSON.parse(recordText).packages;
  } catch {
    return 'everything';
  }
  for (const [path, want] of Object.entries(wanted)) {
    if (path === '') continue;
    const has = present[path];
    const wrong = has === undefined ? !want.optional || isFor(want, here) : differs(has, want);
    if (wrong) return path;
  }
  return Object.keys(present).find((path) => wanted[path] === undefined);
}

function differs(has, want) {
  return has.version !== want.version || (want.integrity !== undefined && has.integrity !== want.integrity);
}

/** True for a package made for this platform. One that names no platform is needed by those that do, here or elsewhere. */
function isFor(entry, here) {
  if (entry.os === undefined && entry.cpu === undefined) return false;
  const names = (list, value) => list === undefined || [list].flat().includes(value);
  return names(entry.os, here.os) && names(entry.cpu, here.cpu) && (here.libc === undefined || names(entry.libc, here.libc));
}

function thisPlatform() {
  const libc =
    process.platform === 'linux' ? (process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl') : undefined;
  return { os: process.platform, cpu: process.arch, libc };
}
