import { checkArtifacts } from './check-artifacts.ts';
import { checkComponents } from './check-components.ts';
import { checkConnections } from './check-connections.ts';
import { isPeerKey } from '../ids.ts';
import { ProblemList } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import { checkFiles } from './check-files.ts';
import { checkAllowances, withAllowances } from './check-allowances.ts';
import { checkSharing } from './check-sharing.ts';
import { checkTrust } from './check-trust.ts';
import { checkWasmbus } from './check-wasmbus.ts';
import { isLoopback } from './loopback.ts';
import type { Problem } from './problems.ts';

/**
 * Returns everything that a host should not start with, or should be told about, given a configuration whose shape is
 * valid. Reads the files that settings name; opens no connection.
 */
export function checkStart(context: CheckContext): Problem[] {
  const found = [
    ...checkConnections(context),
    ...checkFiles(context),
    ...checkArtifacts(context),
    ...checkComponents(context),
    ...checkTrust(context),
    ...checkWasmbus(context),
    ...checkSharing(context),
    ...checkConflicts(context),
    ...checkProcess(context),
  ];
  return [...withAllowances(found, context.config.allow), ...checkAllowances(context)];
}

/** START-14: settings that contradict one another. */
function checkConflicts({ config, sourceOf }: CheckContext): Problem[] {
  const problems = new ProblemList(sourceOf);
  const ids = new Set<string>();
  for (const [i, { id }] of config.components.entries()) {
    if (ids.has(id)) {
      problems.add('START-14', `components[${i}].id`, {
        summary: 'Two components have the same id.',
        value: id,
        why: 'One name on the lattice cannot stand for two programs.',
        fix: 'Give one of them another id.',
      });
    }
    ids.add(id);
  }
  if (config.components.length > config.limits.maxComponents) {
    problems.add('START-14', 'limits.maxComponents', {
      summary: `${config.components.length} components are listed and ${config.limits.maxComponents} allowed.`,
      why: 'Which of them should run cannot be known.',
      fix: 'Raise limits.maxComponents or list fewer components.',
    });
  }
  const taken = new Map<string, number>();
  for (const [i, link] of config.links.entries()) {
    // Peers of wasmCloud 0.82 choose among targets by key.
    if (isPeerKey(link.source)) continue;
    for (const face of link.interfaces) {
      const key = JSON.stringify([link.source, link.name, link.namespace, link.package, face]);
      const other = taken.get(key);
      if (other === undefined) taken.set(key, i);
      else if (config.links[other]!.target !== link.target) {
        problems.add('START-14', `links[${i}]`, {
          summary: `links[${other}] and links[${i}] send ${link.namespace}:${link.package}/${face} of ${link.source} to different targets.`,
          why: 'One import can go to one target under one link name.',
          fix: 'Remove one, or give it another name.',
        });
      }
    }
  }
  const { listen } = config.admin;
  if (listen !== false && !isLoopback(listen.slice(0, listen.lastIndexOf(':')))) {
    problems.add('START-14', 'admin.listen', {
      warning: true,
      summary: 'Health and metrics are open beyond this computer.',
      value: listen,
      why: 'Whoever reaches the port learns which components run and how often they are called.',
      fix: 'Listen on 127.0.0.1, or keep the port behind a firewall.',
    });
  }
  return problems.found;
}

/** START-17 to START-19: the process itself, and those it starts. */
function checkProcess({ config, sourceOf, process: facts }: CheckContext): Problem[] {
  const problems = new ProblemList(sourceOf);
  if (config.dev) return [];
  if (facts.unconfined !== undefined && config.components.length > 0) {
    problems.add('START-17', 'components', {
      summary: `Components cannot be confined here: ${facts.unconfined}.`,
      why: 'A component that breaks out of its sandbox would be a process with all rights of the host.',
      fix: 'Start the host with node host.js, which takes the Node it was made for; npm run setup fetches it.',
    });
  }
  if (facts.uid === 0) {
    problems.add('START-18', 'dev', {
      summary: 'The host runs as root.',
      why: 'It needs no such rights, and whoever finds a way through it would have them.',
      fix: 'Run it as a user of its own (User= in a unit, --user for containers), or set dev: true.',
    });
  }
  if (facts.inspectorOpen) {
    problems.add('START-19', 'dev', {
      allowance: 'debugger',
      summary: 'A debugger port is open.',
      why: 'Whoever reaches it reads every key and runs code in the host.',
      fix: 'Start without --inspect, or set dev: true on a development machine.',
    });
  }
  if (facts.dumpsCore) {
    problems.add('START-19', 'dev', {
      allowance: 'core-dumps',
      summary: 'A crash would write the memory of the host to a file.',
      why: 'Whoever reads the file has every key that the host held.',
      fix: 'Set the limit of core files to 0 (LimitCORE=0 in a unit, --ulimit core=0 for containers, ulimit -c 0 in a shell).',
    });
  }
  return problems.found;
}
