import type { ErrorCode } from '../../errors.ts';
import type { SigningKey } from '../../trust/nkey.ts';
import type { RequestClaims } from '../../trust/request-token.ts';
import type { Attacker } from './attacker.ts';

/** A function of the lattice. */
export interface Operation {
  readonly target: string;
  readonly instance: string;
  readonly func: string;
}

/** Served by two hosts in one queue group. */
export const ECHO: Operation = { target: 'echo', instance: 'trellis-samples:echo/values@0.1.0', func: 'echo-string' };
/** The same component, another function. */
export const ECHO_BYTES: Operation = { ...ECHO, func: 'echo-bytes' };
/** Two hosts serve it too; gives a stream back as it comes. */
export const ECHO_STREAM: Operation = {
  target: 'echo-streams',
  instance: 'trellis-samples:echo/streams@0.1.0',
  func: 'echo-bytes',
};
/** Of the same component, which runs each call once in the lattice (`replay: cluster`). */
export const ECHO_LATER: Operation = { ...ECHO_STREAM, func: 'echo-later' };
/** Served by one host, whose rpc credentials are the stolen ones. */
export const HELLO: Operation = { target: 'hello', instance: 'trellis-samples:hello/greeting@0.1.0', func: 'greet' };
/** The lattice of the demonstration. */
export const LATTICE = 'demo';
/** Whom the genuine caller signs as. */
export const CALLER_ORIGIN = 'operator';

/** Subject on which an operation is called. */
export function subjectOf({ target, instance, func }: Operation): string {
  return `${LATTICE}.${target}.wrpc.0.0.1.${instance}.${func}`;
}

/** `text` as the parameter of a function that takes one short string. */
export function textParams(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

/** The parameters of every gift; {@link ECHO} would answer with the same bytes. */
export const GIFT_PARAMS: Buffer = textParams('attack');

/** Genuine traffic that an attack can ask for. */
export type Traffic = 'echo' | 'hello' | 'later' | 'chain' | 'stream';

/** What a person beside the lattice does while an attack runs. */
export type Happening = 'clock back an hour' | 'clock forward again' | 'restart' | 'time passes';

/** Signs what the attacker could not: tokens that are right but for one thing. Lives in the process with the keys. */
export interface Insider {
  /** The cluster key that every host trusts. */
  readonly cluster: SigningKey;
  /** A cluster key of this lattice from before its last rotation. */
  readonly retired: SigningKey;
  /** The key of a provider: of kind service, in no list of issuers. */
  readonly provider: SigningKey;
  /** Milliseconds since the Unix epoch, by the clock of the hosts. */
  nowMs(): number;
  /** Claims for {@link ECHO} with {@link GIFT_PARAMS} that every check lets pass, with changes. */
  claims(key: SigningKey, changes?: Partial<RequestClaims>): RequestClaims;
  /** A token over such claims. */
  token(key: SigningKey, changes?: Partial<RequestClaims>): string;
  /** A token over any claims text. */
  seal(key: SigningKey, claimsText: string): string;
}

/** One attack of the plan. */
export interface Attack {
  /** Id in the plan, such as `ENV-09`. */
  readonly id: string;
  /** The attack in words; says what the attacker was given beside the stolen credentials. */
  readonly words: string;
  /** Codes by which hosts may refuse. At least one must show, and none if the list is empty. */
  readonly codes: readonly ErrorCode[];
  /** The same for what the genuine caller drops: forged answers. Not looked at if left out. */
  readonly callerCodes?: readonly ErrorCode[];
  /** What the attacker may be told; `401 invocation denied` by default. */
  readonly answers?: RegExp;
  /** Makes what the attacker is handed; runs where the keys are. */
  gift?(insider: Insider): readonly string[];
  /** Carries it out; runs in the attacker's process. */
  run(attacker: Attacker, gifts: readonly string[]): Promise<void>;
}

/** What an attacker is told when a host refuses. */
export const DENIED = /^401 invocation denied$/;
