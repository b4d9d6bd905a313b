import { ProblemList } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import type { Problem } from './problems.ts';

/** START-14: settings for peers of wasmCloud 0.82 that cannot work; START-11: the key that speaks for all of them. */
export function checkWasmbus(context: CheckContext): Problem[] {
  const problems = new ProblemList(context.sourceOf);
  const { config } = context;
  checkIdentities(context, problems);
  const { seedFile } = config.trust.wasmbus;
  if (seedFile !== undefined && !config.dev) {
    problems.add('START-11', 'trust.wasmbus.seedFile', {
      warning: true,
      summary: 'Calls to wasmCloud 0.82 peers are signed with a key that speaks for every caller there.',
      why: 'Those peers know no delegations: whoever has this seed can call them as anybody, and their answers are not signed.',
      fix: 'Give this key to no other purpose, and remove the setting when the last such peer has gone.',
    });
  }
  for (const [i, link] of config.links.entries()) {
    if (link.wasmbus === undefined) continue;
    const setting = `links[${i}].wasmbus`;
    if (!isEntityKey(context, link.target)) {
      problems.add('START-14', `links[${i}].target`, {
        summary: 'The target of a link to a wasmCloud 0.82 peer is no public key of an actor or provider.',
        value: link.target,
        why: 'Such peers are reached under their keys.',
        fix: 'Set the target to the M or V key of the peer, or remove wasmbus from the link.',
      });
    }
    if (seedFile === undefined) {
      problems.add('START-14', setting, {
        summary: 'A link leads to a wasmCloud 0.82 peer, and there is no key to sign for it.',
        why: 'Such a peer runs nothing that no cluster key on its list has signed.',
        fix: 'Set trust.wasmbus.seedFile to a cluster seed whose public key the peer lists.',
      });
    }
    const source = config.components.find((component) => component.id === link.source);
    if (source !== undefined && source.wasmbus === undefined) {
      problems.add('START-14', setting, {
        summary: `${link.source} is linked to a wasmCloud 0.82 peer, and has no key there itself.`,
        why: 'The peer must be told who calls, as a key.',
        fix: `Set wasmbus.key of the component ${link.source}.`,
      });
    }
  }
  return problems.found;
}

function isEntityKey({ keys }: CheckContext, text: string): boolean {
  const fact = keys.ofPublicKey(text);
  return !('reason' in fact) && (fact.kind === 'module' || fact.kind === 'service');
}

function checkIdentities(context: CheckContext, problems: ProblemList): void {
  const taken = new Map<string, number>();
  const { components, trust } = context.config;
  for (const [i, { wasmbus, replay }] of components.entries()) {
    if (wasmbus === undefined) continue;
    const setting = `components[${i}].wasmbus`;
    if (trust.verify === 'enforce' && (replay ?? trust.replay) === 'cluster') {
      problems.add('START-14', setting, {
        summary: 'The calls of a component shall run once in the lattice, and wasmCloud 0.82 peers may call it.',
        why: 'Such a caller cannot confirm to one host that its call shall run, so each host would run it once.',
        fix: `Set components[${i}].replay to local, or remove ${setting}.`,
      });
    }
    const { key, link = 'default', contract } = wasmbus;
    if (!isEntityKey(context, key)) {
      problems.add('START-14', `${setting}.key`, {
        summary: 'The wasmCloud 0.82 key of a component is mistyped: its checksum does not fit.',
        value: key,
        why: 'No peer would ever call it.',
        fix: 'Give the public key (M… or V…) under which its peers know it.',
      });
    }
    const actor = key.startsWith('M');
    if (actor ? contract !== undefined || wasmbus.link !== undefined : contract === undefined) {
      problems.add('START-14', setting, {
        summary: actor
          ? 'An actor of wasmCloud 0.82 has neither contract nor link.'
          : 'A provider of wasmCloud 0.82 has no contract.',
        why: 'No signature of 0.82 covers contract or link of an actor, and peers find a provider by them.',
        fix: actor ? `Remove contract and link from ${setting}.` : `Set ${setting}.contract.`,
      });
    }
    const place = `${key} ${actor ? '' : link}`;
    const other = taken.get(place);
    if (other === undefined) taken.set(place, i);
    else {
      problems.add('START-14', `${setting}.key`, {
        summary: `components[${other}] has the same wasmCloud 0.82 key.`,
        value: key,
        why: 'One key cannot stand for two programs.',
        fix: 'Give one of them another key, or to two providers different links.',
      });
    }
  }
}
