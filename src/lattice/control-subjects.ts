import type { LatticeName } from '../ids.ts';

/** The control interface of wasmCloud 1.x (version 1): which subjects there are, who listens to which, and what each one asks. */

/** What follows the lattice in a subject: `host`, the host's public key; `name`, a configuration's name; `none`, nothing. */
const ARGUMENTS = {
  'host.ping': 'none',
  'host.get': 'host',
  'host.stop': 'host',
  'label.put': 'host',
  'label.del': 'host',
  'component.auction': 'none',
  'component.scale': 'host',
  'component.update': 'host',
  'provider.auction': 'none',
  'provider.start': 'host',
  'provider.stop': 'host',
  'link.get': 'none',
  'link.put': 'none',
  'link.del': 'none',
  'claims.get': 'none',
  'config.get': 'name',
  'config.put': 'name',
  'config.del': 'name',
  'registry.put': 'none',
} as const;

/** First token of subjects that reach one host with a request that otherwise goes to whichever host takes it. No host of 1.x listens there. */
const ONLY = 'only';
/** Nouns of such requests. */
const SHARED = ['link', 'claims', 'config'] as const;

/** A request of the control interface. */
export type ControlOperation = keyof typeof ARGUMENTS;

/** What a subject asks. */
export interface ControlSubject {
  /** First token after the lattice, whatever it is; `only` for what is asked of this host alone. */
  readonly noun: string;
  /** `undefined` for one that the control interface does not know. */
  readonly operation: ControlOperation | undefined;
  /** Noun and verb as they were sent, for the log. */
  readonly asked: string;
  /** Public key of the host, or name of the configuration; `''` without. */
  readonly argument: string;
}

/** One subscription of a host. */
export interface ControlSubscription {
  readonly subject: string;
  /** Hosts of one queue group share the requests; without one every host gets each. */
  readonly queue?: string;
  /** Noun of everything that comes in here. */
  readonly noun: string;
}

/** Where the control subjects of a lattice begin: `{prefix}.v1.{lattice}`. */
export function controlRoot(prefix: string, lattice: LatticeName): string {
  return `${prefix}.v1.${lattice}`;
}

/** The subject of a request. @param argument - Public key of the host or name of the configuration, for those that take one. */
export function controlSubject(root: string, operation: ControlOperation, argument = ''): string {
  return ARGUMENTS[operation] === 'none' ? `${root}.${operation}` : `${root}.${operation}.${argument}`;
}

/** What follows the lattice in the subject of a request that is sent to one host alone. @param tail - What follows it otherwise. */
export function forHostAlone(host: string, tail: string): string {
  return `${ONLY}.${host}.${tail}`;
}

/**
 * What a host subscribes, as a wasmCloud 1.9 host does to the byte: in a lattice with both, a group of another name would have every
 * request answered twice. Besides, what is meant for it {@link forHostAlone | alone}.
 */
export function controlSubscriptions(
  root: string,
  host: string,
  auctions: { readonly component: boolean; readonly provider: boolean },
): readonly ControlSubscription[] {
  return [
    { noun: 'registry', subject: `${root}.registry.put` },
    { noun: 'host', subject: `${root}.host.ping` },
    { noun: 'link', subject: `${root}.link.*`, queue: `${root}.link` },
    { noun: 'claims', subject: `${root}.claims.get`, queue: `${root}.claims` },
    { noun: 'component', subject: `${root}.component.*.${host}` },
    { noun: 'provider', subject: `${root}.provider.*.${host}` },
    { noun: 'label', subject: `${root}.label.*.${host}` },
    { noun: 'host', subject: `${root}.host.*.${host}` },
    { noun: 'config', subject: `${root}.config.>`, queue: `${root}.config` },
    { noun: ONLY, subject: `${root}.${forHostAlone(host, '>')}` },
    ...(auctions.component ? [{ noun: 'component', subject: `${root}.component.auction` }] : []),
    ...(auctions.provider ? [{ noun: 'provider', subject: `${root}.provider.auction` }] : []),
  ];
}

/**
 * What the subject of a message asks of the host `host`; `undefined` for one that is outside the control interface of this lattice or
 * names another host. Never throws.
 */
export function readControlSubject(root: string, host: string, subject: string): ControlSubject | undefined {
  if (!subject.startsWith(`${root}.`)) return undefined;
  const only = `${root}.${ONLY}.${host}`;
  if (subject.startsWith(`${only}.`)) {
    const asked = readControlSubject(only, host, subject);
    if (asked === undefined || !SHARED.some((noun) => noun === asked.noun)) return undefined;
    return { ...asked, noun: ONLY };
  }
  const [noun = '', verb = '', argument = '', ...more] = subject.slice(root.length + 1).split('.');
  const asked = `${noun}.${verb}`;
  const unknown = { noun, operation: undefined, asked, argument };
  if (!Object.hasOwn(ARGUMENTS, asked)) return unknown;
  const operation = asked as ControlOperation;
  const takes = ARGUMENTS[operation];
  if (takes === 'host' && argument !== host) return argument === '' ? unknown : undefined;
  if (more.length > 0 || (argument === '') !== (takes === 'none')) return unknown;
  return { noun, operation, asked, argument };
}
