import { ProblemList } from './check-context.ts';
import type { CheckContext } from './check-context.ts';
import { issuerFault } from './check-trust.ts';
import type { Problem } from './problems.ts';

/** START-09 and START-14: what is shared with other lattices, or by them, and could not work or would let in too much. */
export function checkSharing(context: CheckContext): Problem[] {
  const problems = new ProblemList(context.sourceOf);
  checkForeign(context, problems);
  checkSharedLinks(context, problems);
  return problems.found;
}

function checkIssuers({ keys, config }: CheckContext, problems: ProblemList, setting: string, issuers: readonly string[]): void {
  for (const [i, issuer] of issuers.entries()) {
    const fault = issuerFault(keys, issuer);
    if (fault !== undefined) problems.add('START-09', `${setting}[${i}]`, fault);
    else if (config.trust.clusterIssuers.includes(issuer)) {
      problems.add('START-14', `${setting}[${i}]`, {
        summary: 'An issuer of another lattice is one of this lattice, too.',
        value: issuer,
        why: 'Two lattices with one issuer are one: whoever it delegates to counts in both.',
        fix: 'Give each lattice an issuer of its own (trellis keys gen cluster).',
      });
    }
  }
}

function checkForeign(context: CheckContext, problems: ProblemList): void {
  const { components, trust } = context.config;
  for (const [i, share] of trust.foreign.entries()) {
    const setting = `trust.foreign[${i}]`;
    checkIssuers(context, problems, `${setting}.issuers`, share.issuers);
    const component = components.find(({ id }) => id === share.target);
    if (component === undefined) {
      problems.add('START-14', `${setting}.target`, {
        warning: true,
        summary: 'A component that is shared with another lattice does not run on this host.',
        value: share.target,
        why: 'Here the entry does nothing; another host of the lattice may need it.',
        fix: 'List it on the hosts that run the component.',
      });
    } else if ((component.replay ?? trust.replay) === 'cluster') {
      problems.add('START-14', `${setting}.target`, {
        summary: 'The calls of a component shall run once in the lattice, and another lattice may call it.',
        value: share.target,
        why: 'A caller in another account cannot confirm to one host that its call shall run: one message goes there, one comes back.',
        fix: `Set replay: local for ${share.target}, or do not share it.`,
      });
    }
  }
}

function checkSharedLinks(context: CheckContext, problems: ProblemList): void {
  const { components, links } = context.config;
  for (const [i, link] of links.entries()) {
    if (link.shared === undefined) continue;
    const setting = `links[${i}]`;
    checkIssuers(context, problems, `${setting}.shared.issuers`, link.shared.issuers);
    if (components.some(({ id }) => id === link.target)) {
      problems.add('START-14', `${setting}.target`, {
        summary: 'A link to another account has the name of a component of this host.',
        value: link.target,
        why: 'Both would get the call.',
        fix: 'Accept the share under another name (trellis auth accept --as).',
      });
    }
    if (link.wasmbus !== undefined) {
      problems.add('START-14', setting, {
        summary: 'A link leads to another account and to a wasmCloud 0.82 peer.',
        value: link.target,
        why: 'It can be one of them.',
        fix: 'Remove shared or wasmbus.',
      });
    }
  }
}
