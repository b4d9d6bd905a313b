import { greet } from 'trellis-samples:hello/greeting@0.1.0';
import { get, getAll } from 'wasi:config/store@0.2.0-draft';
import { log } from 'wasi:logging/logging@0.1.0-draft';
import { CallTargetInterface, setLinkName } from 'wasmcloud:bus/lattice@2.0.0';

/** Greets along a link; `default` needs no choosing, but choosing it is how to come back to it. */
function greetThrough(link: string, name: string): string {
  // Throws the error text if there is no such link.
  setLinkName(link, [new CallTargetInterface('trellis-samples', 'hello', 'greeting')]);
  const greeting = greet(name);
  log('info', 'switchboard', `greeted through ${link}`);
  return greeting;
}

export const board = {
  greet: (name: string): string => greetThrough(get('link') ?? 'default', name),
  greetThrough: (links: string[], name: string): string[] => links.map((link) => greetThrough(link, name)),
  settings: (): [string, string][] => getAll(),
};
