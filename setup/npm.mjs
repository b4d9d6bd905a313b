// Running npm: the one that runs us, with the Node it came with, so that our own Node in node_modules may be replaced.
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { runProgram } from './run-program.mjs';
import { MODULES, ROOT, STATE } from './tree.mjs';

const OFFLINE =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|EIDLETIMEOUT)\b/;
const PROBE_MS = 5000;

/** Runs npm with `args`; as {@link runProgram}. `options.node` names another Node to run it on. */
export function npm(args, { node: otherNode, ...options } = {}) {
  const { npm_execpath: script, npm_node_execpath: itsNode, ...env } = process.env;
  const outside = (env.PATH ?? '').split(delimiter).filter((folder) => !folder.startsWith(MODULES));
  const path = [...(otherNode === undefined ? [] : [dirname(otherNode)]), ...outside].join(delimiter);
  const withPath = { ...env, PATH: path, ...cacheSetting(env) };
  // Errors also when the npm around us was told to be silent.
  const said = [...args, '--loglevel=error'];
  const settings = { cwd: ROOT, ...options, env: withPath };
  if (script !== undefined && basename(script) === 'npm-cli.js') {
    const mayVanish = itsNode === undefined || itsNode.startsWith(MODULES);
    return runProgram(otherNode ?? (mayVanish ? 'node' : itsNode), [script, ...said], settings);
  }
  return runProgram(process.platform === 'win32' ? 'npm.cmd' : 'npm', said, {
    ...settings,
    shell: process.platform === 'win32',
  });
}

/** A user without a home of its own (a service account) gets npm's cache in `.trellis`. */
function cacheSetting(env) {
  if (env.npm_config_cache !== undefined && isWritable(env.npm_config_cache)) return {};
  return isWritable(join(homedir(), '.npm')) || isWritable(homedir()) ? {} : { npm_config_cache: join(STATE, 'npm-cache') };
}

function isWritable(folder) {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

let probe;
/**
 * Whether npm's registry answers, asked once and given up after a few seconds. An error of the registry itself is an answer.
 * Returns undefined when it does, else why not.
 */
export function registryTrouble() {
  probe ??= npm(['ping', '--fetch-retries=0', `--fetch-timeout=${PROBE_MS}`], { timeoutMs: PROBE_MS + 3000 }).then((result) => {
    if (result.code === 0) return undefined;
    const code = errorCode(result.output);
    return /^E\d{3}$/.test(code ?? '')
      ? undefined
      : (result.failure ?? (code === 'FETCH_ERROR' ? 'no answer in time' : code) ?? 'npm ping failed');
  });
  return probe;
}

/** Arguments for a command that fetches: bounded when the registry answers, from npm's cache only when it does not. */
export async function fetchArguments() {
  const trouble = await registryTrouble();
  const bounded = ['--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--fetch-timeout=60000'];
  return [...(trouble === undefined ? bounded : ['--offline']), '--no-audit', '--no-fund', '--no-progress', '--ignore-scripts'];
}

const errorCode = (output) => /npm (?:error|ERR!) code (\S+)/.exec(output)?.[1];

/** Why an npm command failed and what to do about it, from what it printed. */
export function explainNpm(result, trouble) {
  const code = errorCode(result.output);
  if (result.failure !== undefined) {
    const remedy = /not installed/.test(result.failure)
      ? 'Install npm (Debian: apt-get install npm) and start again.'
      : 'Start again; with a slow network, run "npm ci" by hand first.';
    return { why: result.failure, remedy };
  }
  if (trouble !== undefined || OFFLINE.test(code ?? '') || code === 'ENOTCACHED') {
    return {
      why: `the npm registry cannot be reached (${trouble ?? code}) and npm's cache does not hold everything`,
      remedy:
        'Connect this machine, or set npm\'s registry or proxy ("npm config set registry …", HTTPS_PROXY), and start again.',
    };
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return { why: 'npm may not write here', remedy: `Run as the owner of ${ROOT}, or make a clone of your own.` };
  }
  if (code === 'ENOSPC') return { why: 'the disk is full', remedy: 'Free about 1 GB and start again.' };
  if (code === 'EINTEGRITY') {
    return {
      why: 'a package differs from what package-lock.json promises',
      remedy: 'Run "npm cache verify" and start again; if it stays, the registry or a proxy alters packages: do not use it.',
    };
  }
  if (code === 'EUSAGE') {
    return {
      why: 'package.json and package-lock.json disagree',
      remedy: 'Run "npm install" and commit package-lock.json, or take both files from a clean clone.',
    };
  }
  return {
    why: `npm ended with ${code ?? `code ${result.code}`}`,
    remedy: 'Read npm\'s words above; "npm ci" by hand shows all of them.',
  };
}
