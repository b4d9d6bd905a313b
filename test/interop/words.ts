import { fileURLToPath } from 'node:url';
import type { HostConfigInput } from '../../src/config/schema.ts';

/** Folder of the components whose words tell them apart, see test/fixtures/components/words. */
export const WORDS = fileURLToPath(new URL('../fixtures/components/words', import.meta.url));

export const ASK = 'trellis-samples:words/asking@0.1.0.ask';
export const WORD = 'trellis-samples:words/settings@0.1.0.word';
export const SAY = 'trellis-samples:words/words@0.1.0.say';

interface Call {
  readonly source: string;
  readonly target: string;
  readonly name: string;
}

const FROM_WASH: readonly Call[] = [
  { source: 'wash', target: 'asker', name: 'asking' },
  { source: 'wash', target: 'configured', name: 'settings' },
  { source: 'wash', target: 'speaker', name: 'words' },
];

const pairOf = ({ source, target, name }: Call) => ({ source, target, interface: `trellis-samples:words/${name}` });
const linkOf = ({ source, target, name }: Call) => ({
  source,
  target,
  namespace: 'trellis-samples',
  package: 'words',
  interfaces: [name],
});

/**
 * Peers of wasmCloud sign nothing: a Trellis host that verifies takes their calls, and their answers, only where a pair says so, and along
 * a link. `wash call` has no link on the lattice, so the file of the host has it; `asker` and `speaker` get theirs by wash or wadm.
 */
export function takesWords(more: readonly Call[] = []): Pick<HostConfigInput, 'links' | 'trust'> {
  // One import leads to one target: what `more` says of it counts.
  const others = FROM_WASH.filter(({ name }) => !more.some((each) => each.source === 'wash' && each.name === name));
  const calls = [...others, { source: 'asker', target: 'speaker', name: 'words' }, ...more];
  return { links: calls.filter(({ source }) => source === 'wash').map(linkOf), trust: { unsigned: calls.map(pairOf) } };
}
