import type { Problem } from './problems.ts';

/** Words for a login that can be repeated by whoever has read it once. */
const WORDS = ['user', 'username', 'pass', 'password', 'token'] as const;
const VARIABLE = /^(?:NATS|(?:WASMCLOUD|TRELLIS)_(?:NATS|CTL|RPC))_(?:USER|USERNAME|PASS|PASSWORD|TOKEN)$/;

/** True for a name in a group of settings that would hold such a login. */
export function isPlainLogin(group: string, key: string): boolean {
  return /^(?:ctl|rpc|nats)$/.test(group) && (WORDS as readonly string[]).includes(key.toLowerCase());
}

/** True for the name of an environment variable that would hold such a login, for Trellis or for other clients of NATS. */
export function isPlainLoginVariable(name: string): boolean {
  return VARIABLE.test(name);
}

/** START-01: a login by user and password or by token, wherever it stands. Never shows it. */
export function plainLogin(setting: string, source: string): Problem {
  return {
    code: 'START-01',
    severity: 'refused',
    summary: `${setting} is a login by user and password, or by token.`,
    setting,
    source,
    why: 'Such a login can be repeated by whoever reads it once, and Trellis has none: it would connect as somebody else.',
    fix: 'Remove it, and set credsFile to a credentials file (mode 0600).',
  };
}
