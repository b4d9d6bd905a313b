import { readFileSync } from 'node:fs';
import type { Layers } from './layers.ts';
import { isPlainLoginVariable, plainLogin } from './plain-logins.ts';
import { redactText } from './problems.ts';
import type { Problem } from './problems.ts';
import { listSettings } from './settings.ts';
import { nearest } from './suggest.ts';
import { textToValue } from './text-values.ts';
import { layWasmcloudHeartbeat, layWasmcloudServers, REFUSED_WASMCLOUD, UNUSED_WASMCLOUD } from './wasmcloud-environment.ts';

/** Environment variables; `process.env` or a test's own. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Names that other parts of Trellis read: set-up, tests, benchmarks, `trellis auth`, and what names the configuration file and the context. */
const FOREIGN = /^TRELLIS_(?:CONFIG$|CONTEXT$|AUTH_STORE$|PARENT_PID$|SETUP_|TEST_|BENCH_)/;
const LABEL = /^(?:WASMCLOUD|TRELLIS)_LABEL_(.+)$/;
const ISSUER_FILES = ['TRELLIS_TRUST_CLUSTER_ISSUERS_FILE', 'WASMCLOUD_CLUSTER_ISSUERS_FILE'] as const;

/**
 * Lays the environment over `layers`: `TRELLIS_<PATH>` first, then the names of wasmCloud 1.x. An empty variable counts as not
 * set (compose files and units leave such). Returns refusals and warnings about the names themselves.
 */
export function layEnvironment(layers: Layers, env: Environment): Problem[] {
  const problems: Problem[] = [];
  const get = (name: string): string | undefined => env[name] || undefined;

  layWasmcloudServers(layers, get);
  layWasmcloudHeartbeat(layers, get);
  for (const setting of listSettings()) {
    const name = setting.env.find((candidate) => get(candidate) !== undefined);
    if (name === undefined) continue;
    layers.set(setting.path, textToValue(setting, get(name)!), `the environment, ${name}`);
  }
  layIssuersFile(layers, get, problems);
  for (const name of Object.keys(env).sort()) {
    const label = LABEL.exec(name)?.[1];
    const value = get(name);
    if (label === undefined || value === undefined || name.startsWith('TRELLIS_LABELS')) continue;
    layers.set(['labels', label], value, `the environment, ${name}`);
  }
  problems.push(...strangers(env));
  return problems;
}

function layIssuersFile(layers: Layers, get: (name: string) => string | undefined, problems: Problem[]): void {
  const name = ISSUER_FILES.find((candidate) => get(candidate) !== undefined);
  if (name === undefined) return;
  const source = `the environment, ${name}`;
  try {
    const keys = readFileSync(get(name)!, 'utf8')
      .split(/[,\s]+/)
      .filter((key) => key !== '');
    layers.set(['trust', 'clusterIssuers'], keys, source);
  } catch (error) {
    problems.push({
      code: 'START-06',
      severity: 'refused',
      summary: `The file with the cluster issuers cannot be read (${String((error as NodeJS.ErrnoException).code)}).`,
      setting: 'trust.clusterIssuers',
      source,
      why: 'Without its issuers a host accepts nobody, or only itself.',
      fix: `Point ${name} at a readable file with one public key a line.`,
    });
  }
}

/** Variables that look like ours and mean nothing here. */
function strangers(env: Environment): Problem[] {
  const known = new Set<string>([...listSettings().flatMap((setting) => setting.env), ...ISSUER_FILES]);
  const problems: Problem[] = [];
  for (const name of Object.keys(env).sort()) {
    if (!env[name] || known.has(name) || LABEL.test(name) || FOREIGN.test(name)) continue;
    if (isPlainLoginVariable(name)) {
      problems.push(plainLogin(name, 'the environment'));
      continue;
    }
    const refusal = REFUSED_WASMCLOUD[name];
    if (refusal !== undefined) {
      problems.push({
        code: 'START-11',
        severity: 'refused',
        summary: `${name} holds the ${refusal.what} itself; Trellis reads it from a file.`,
        setting: refusal.setting,
        source: `the environment, ${name}`,
        why: 'Other processes of this user can read the environment, and leaving it out would connect as somebody else.',
        fix: refusal.fix,
      });
    } else if (UNUSED_WASMCLOUD.has(name)) {
      problems.push(unused(name, 'It is a setting of wasmCloud 1.x that this version of Trellis does not have.', 'Unset it.'));
    } else if (name.startsWith('TRELLIS_')) {
      // Only a near miss is refused: Kubernetes sets TRELLIS_PORT and the like for a service of that name.
      const meant = nearest(name, known);
      if (meant === undefined) problems.push(unused(name, 'No setting has this name.', 'Unset it, or see docs/config.md.'));
      else
        problems.push({
          ...unused(name, 'A misspelt setting would silently keep its default.', `Did you mean ${meant}?`),
          severity: 'refused',
        });
    }
  }
  return problems;
}

const unused = (variable: string, why: string, fix: string): Problem => ({
  code: 'START-14',
  severity: 'warning',
  summary: `${redactText(variable)} is set and not used.`,
  setting: redactText(variable),
  source: 'the environment',
  why,
  fix,
});
