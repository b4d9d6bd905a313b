import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { explainNpm, fetchArguments, npm, registryTrouble } from './npm.mjs';
import { lastLines } from './run-program.mjs';
import { SetupError } from './setup-error.mjs';
import { MODULES, ROOT, readIfThere } from './tree.mjs';

const TEN_MINUTES_MS = 600_000;

/** Puts exactly what package-lock.json says into node_modules. `inPlace` answers without doing anything. */
export const dependencies = {
  inPlace: () => missingPackage(readIfThere(join(ROOT, 'package-lock.json')), npmRecord()) === undefined,

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
    const missing = missingPackage(readIfThere(join(ROOT, 'package-lock.json')), npmRecord());
    if (missing !== undefined) {
      throw new SetupError(`npm ci ended well, but ${missing} is not in node_modules`, {
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

/**
 * The first package that the lock file wants and npm's record does not have in that version and with that digest; undefined
 * when all are there. Optional packages may be missing (other platforms), but not be another version.
 */
export function missingPackage(lockText, recordText) {
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
    if (has === undefined ? !want.optional : has.version !== want.version || has.integrity !== want.integrity) return path;
  }
  return Object.keys(present).find((path) => wanted[path] === undefined);
}
