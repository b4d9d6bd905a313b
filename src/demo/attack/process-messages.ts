import type { Happening, Traffic } from './attack.ts';

/** What the process with the keys tells the attacker's process. */
export type ToAttacker =
  | { readonly type: 'attack'; readonly index: number; readonly gifts: readonly string[] }
  /** A genuine call is over, or something has happened; answers the request of the same number. */
  | { readonly type: 'done'; readonly request: number };

/** What the attacker's process tells the other one. */
export type FromAttacker =
  | { readonly type: 'ready' }
  | { readonly type: 'traffic'; readonly request: number; readonly kind: Traffic; readonly timeoutMs: number }
  | { readonly type: 'happening'; readonly request: number; readonly what: Happening }
  | { readonly type: 'over'; readonly answers: readonly string[]; readonly failure?: string };
