import type { StartCode } from './problems.ts';

interface Allowance {
  readonly code: StartCode;
  /** One sentence: what may happen to whoever allows it. Said at every start. */
  readonly danger: string;
}

/**
 * What a host refuses to start with and an operator may accept by name (`--allow NAME`), one refusal each. Such a host says so at every
 * start, in its status and to the other members of the lattice.
 */
export const ALLOWANCES = {
  anonymous: {
    code: 'START-02',
    danger: 'It logs in to another computer as nobody: what lets it in lets anybody in.',
  },
  plaintext: {
    code: 'START-03',
    danger: 'What it sends leaves this computer unencrypted: anyone on the path reads calls and the login, and can change them.',
  },
  'same-credentials': {
    code: 'START-04',
    danger: 'One user has both connections: whoever may invoke may also control hosts.',
  },
  'exposed-files': {
    code: 'START-05',
    danger: 'Other users of this computer can read or replace its seeds and credentials, and join the lattice as this host.',
  },
  partition: {
    code: 'START-07',
    danger:
      'The server does not keep its two users apart from each other and from others: stolen credentials reach further than one half.',
  },
  'seed-in-environment': {
    code: 'START-11',
    danger: 'A seed stays readable in /proc, and in crash reports of other programs, for as long as the host runs.',
  },
  'clock-offset': {
    code: 'START-15',
    danger: 'Its clock is off: calls are refused as expired or too early, and what has expired may still count.',
  },
  'vulnerable-server': {
    code: 'START-16',
    danger: 'Its NATS server has known critical faults, through which its accounts and permissions can be got around.',
  },
  'unconfined-components': {
    code: 'START-17',
    danger: 'Components run in processes that may reach files and the network beyond their grants.',
  },
  root: {
    code: 'START-18',
    danger: 'It runs as root: whoever finds a way through it has this computer.',
  },
  debugger: {
    code: 'START-19',
    danger: 'A debugger port is open: whoever reaches it reads every key and runs code in the host.',
  },
  'core-dumps': {
    code: 'START-19',
    danger: 'A crash writes its memory, keys included, to a file.',
  },
  'replaceable-components': {
    code: 'START-20',
    danger: 'Other users of this computer, or of a registry, can put another program in the place of a component.',
  },
} as const satisfies Readonly<Record<string, Allowance>>;

/** Name of a refusal that can be overridden. */
export type AllowanceName = keyof typeof ALLOWANCES;

/** Refusals that stand whatever anybody allows, and why. */
export const NEVER_ALLOWED: Readonly<Partial<Record<StartCode, string>>> = {
  'START-01':
    'such a login can be repeated by whoever reads it once, in a log or a process list, and a credentials file does the same without',
  'START-06': 'credentials that are expired or malformed let nobody in',
  'START-08':
    'a host that verifies nothing is open to every login of the lattice; trust.verify: observe is there for a migration',
  'START-09': 'with such issuers the host would refuse its own calls',
  'START-10': 'nobody believes an ad hoc key, so nothing would work',
  'START-12': 'no handshake succeeds with such a certificate, and TLS below 1.2 protects nothing',
  'START-13': 'such a name would be another subject',
  'START-14': 'what was meant cannot be known',
};

/** Returns whether `name` names a refusal that can be overridden. */
export function isAllowanceName(name: string): name is AllowanceName {
  return Object.hasOwn(ALLOWANCES, name);
}

/** The names under which the refusals of one code can be overridden. */
export function allowancesOf(code: StartCode): readonly AllowanceName[] {
  return (Object.keys(ALLOWANCES) as AllowanceName[]).filter((name) => ALLOWANCES[name].code === code);
}

/** The names that a list of names and codes stands for; what is neither, or no code of exactly one, is left out. */
export function allowed(list: readonly string[]): readonly AllowanceName[] {
  const names = list.flatMap((entry) => {
    if (isAllowanceName(entry)) return [entry];
    const named = allowancesOf(entry as StartCode);
    return named.length === 1 ? named : [];
  });
  return [...new Set(names)].toSorted();
}

/** What a list allows of one connection. */
export function connectionAllowances(list: readonly string[]): {
  readonly allowPlaintext: boolean;
  readonly allowAnonymous: boolean;
} {
  const names = allowed(list);
  return { allowPlaintext: names.includes('plaintext'), allowAnonymous: names.includes('anonymous') };
}
