import { join } from 'node:path';
import type { Environment } from './environment.ts';
import type { Layers } from './layers.ts';
import type { Problem } from './problems.ts';
import { listSettings } from './settings.ts';

const PREFIX = 'credential:';
const NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}$/;

/** True for a path that names a credential of the service manager instead of a file. */
export function isCredentialPath(path: string): boolean {
  return path.startsWith(PREFIX);
}

/**
 * Puts the file's path in place of each `credential:NAME`: the credential that systemd hands a service (`LoadCredential=`, `SetCredential…=`),
 * below `$CREDENTIALS_DIRECTORY`. Such a file never stands on a disk and is readable by the service alone.
 */
export function layCredentials(layers: Layers, env: Environment): Problem[] {
  const problems: Problem[] = [];
  const dir = env['CREDENTIALS_DIRECTORY'] || undefined;
  for (const setting of listSettings()) {
    if (setting.kind !== 'path' || setting.nested) continue;
    const value = layers.get(setting.path);
    if (typeof value !== 'string' || !isCredentialPath(value)) continue;
    const source = layers.sourceOf(setting.name);
    const name = value.slice(PREFIX.length);
    if (dir !== undefined && NAME.test(name)) {
      layers.set(setting.path, join(dir, name), source);
      continue;
    }
    problems.push({
      code: 'START-06',
      severity: 'refused',
      summary:
        dir === undefined
          ? `${setting.name} names a credential, and no service manager gave any.`
          : `${setting.name} names no credential.`,
      setting: setting.name,
      source,
      why: 'Without it the host cannot prove who it is.',
      fix:
        dir === undefined
          ? 'Start the host as a systemd service with LoadCredential=, or give the path of a file.'
          : 'Write credential: and the name that LoadCredential= gives it.',
    });
  }
  return problems;
}
