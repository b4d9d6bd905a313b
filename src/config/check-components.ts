import { existsSync, realpathSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProblemList } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import type { Problem } from './problems.ts';
import type { ComponentConfig } from './schema.ts';

/** START-14 and START-20: the files of components, and the folders granted to them. */
export function checkComponents(context: CheckContext): Problem[] {
  const problems = new ProblemList(context.sourceOf);
  for (const [i, component] of context.config.components.entries()) {
    checkPreopens(component, i, problems);
    if (component.image !== undefined || component.file === undefined) {
      checkImage(context, component, i, problems);
      continue;
    }
    const path = pathOf(component.file);
    if (path === undefined || !existsSync(path)) {
      problems.add('START-14', `components[${i}].file`, {
        summary: `The component ${component.id} has no file there.`,
        value: component.file,
        why: 'A host that starts without it would answer for it with silence.',
        fix: 'Build the component, or correct the path.',
      });
    } else if (!context.config.dev && component.digest === undefined) {
      checkReplaceable(context, path, i, problems);
    }
  }
  return problems.found;
}

/** START-14 and START-20 for what comes from a registry. */
function checkImage({ config }: CheckContext, component: ComponentConfig, at: number, problems: ProblemList): void {
  const { image, file, id, digest } = component;
  if (image === undefined || file !== undefined) {
    problems.add('START-14', `components[${at}]`, {
      summary: `The component ${id} has ${image === undefined ? 'neither a file nor an image' : 'a file and an image'}.`,
      why: 'It has to be one of them.',
      fix: image === undefined ? 'Set file, or image.' : 'Remove file or image.',
    });
    return;
  }
  if (config.dev || digest !== undefined || config.artifacts.issuers.length > 0 || /@sha256:[0-9a-f]{64}$/i.test(image)) return;
  problems.add('START-20', `components[${at}].image`, {
    summary: `What the image of the component ${id} is can change at any time: it has no digest.`,
    value: image,
    why: 'Whoever may write to the registry chooses what this host runs, under the name and with the rights of the component.',
    fix: 'Write the reference that trellis inspect prints, with @sha256:…, or set artifacts.issuers and have components signed.',
  });
}

/** What is in the place of a file without digest tomorrow is up to whoever may write there. */
function checkReplaceable({ process: facts }: CheckContext, path: string, at: number, problems: ProblemList): void {
  const place = facts.uid === undefined ? undefined : replaceablePlace(path, facts.uid);
  if (place === undefined) return;
  problems.add('START-20', `components[${at}].digest`, {
    summary: `Other users here can replace the file of a component (${place.why}).`,
    value: place.path,
    why: 'This host would then run their program, under the name and with the rights of the component.',
    fix: `Set the digest (trellis inspect prints it), or let only root or this user write to ${place.path}.`,
  });
}

/**
 * Where in the path to a file somebody other than root and `uid` may put another file: the file itself, a folder above it, or what
 * links on the way lead to. What a group may write is left to the operator. `undefined` if nowhere.
 */
export function replaceablePlace(path: string, uid: number): { readonly path: string; readonly why: string } | undefined {
  try {
    for (const start of new Set([resolve(path), realpathSync(path)])) {
      for (let at = start; ; at = dirname(at)) {
        const { mode, uid: owner } = statSync(at);
        if (owner !== 0 && owner !== uid) return { path: at, why: 'another user owns it or a folder above' };
        // In a folder with the sticky bit, such as /tmp, only the owner may replace a file.
        if ((mode & 0o002) !== 0 && (mode & 0o1000) === 0)
          return { path: at, why: 'everybody may write to it or a folder above' };
        if (at === dirname(at)) break;
      }
    }
  } catch {
    // A part that cannot be looked at cannot be run either; loading says so.
  }
  return undefined;
}

function checkPreopens({ grants }: ComponentConfig, at: number, problems: ProblemList): void {
  for (const [i, { host }] of grants.preopens.entries()) {
    if (existsSync(host)) continue;
    problems.add('START-14', `components[${at}].grants.preopens[${i}].host`, {
      summary: 'A folder that is granted to a component does not exist.',
      value: host,
      why: 'The component would find nothing where its operator promised something.',
      fix: 'Make the folder, or correct the path.',
    });
  }
}

function pathOf(file: string): string | undefined {
  try {
    return file.startsWith('file:') ? fileURLToPath(file) : file;
  } catch {
    return undefined;
  }
}
