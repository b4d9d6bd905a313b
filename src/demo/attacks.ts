import type { Caller } from '../caller.ts';
import { componentId, functionName, instanceName, latticeName } from '../ids.ts';
import { HEADER } from '../invocation/headers.ts';
import { SigningKey } from '../trust/nkey.ts';
import { createTokenSigner, type TokenSigner } from '../trust/signer.ts';
import { prepareCall, type OutgoingCall } from '../wrpc/client.ts';
import { invocationSubject } from '../wrpc/subjects.ts';

/** The function under attack, and one whose token is misused. */
export interface AttackTarget {
  readonly target: string;
  readonly instance: string;
  readonly func: string;
}

/** What an attacker got back for one message. */
export interface Answer {
  /** `401 invocation denied`, `result of N bytes`, or `nothing`. */
  readonly text: string;
  readonly executed: boolean;
}

/** One attack: what is sent, in words, and the sending of it. */
export interface Attack {
  readonly name: string;
  readonly sent: string;
  /** Sends it and says what was answered. A replay answers for the second message. */
  run(caller: Caller, victim: AttackTarget, other: AttackTarget): Promise<Answer>;
}

const ANSWER_TIMEOUT_MS = 3_000;
const encode = (text: string): Uint8Array => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);

function subjectOf(caller: Caller, { target, instance, func }: AttackTarget): string {
  return invocationSubject({
    lattice: caller.member.lattice,
    component: componentId(target),
    instance: instanceName(instance),
    func: functionName(func),
  });
}

/** A token for `victim`, bound to the reply subject of `call`, by the signer given. */
function tokenFor(
  caller: Caller,
  signer: TokenSigner,
  call: OutgoingCall,
  victim: AttackTarget,
  params: Uint8Array,
): Promise<string> {
  return new Promise((resolve) =>
    signer.request(
      { ...victim, origin: 'trellis-cli', link: 'default', subject: subjectOf(caller, victim), reply: call.reply, params },
      resolve,
    ),
  );
}

/** Sends a message as it is, past everything that would sign or check it, and waits for whatever comes first. */
function send(call: OutgoingCall, subject: string, params: Uint8Array, token: string | undefined): Promise<Answer> {
  return new Promise((resolve) => {
    const finish = (text: string, executed: boolean): void => {
      clearTimeout(timer);
      resolve({ text, executed });
    };
    const timer = setTimeout(() => finish('nothing', false), ANSWER_TIMEOUT_MS);
    const headers: [string, string][] = [
      [HEADER.sourceId, 'trellis-cli'],
      [HEADER.linkName, 'default'],
    ];
    if (token !== undefined) headers.push([HEADER.invocation, token]);
    call.send(
      { subject, params, headers, unary: true },
      {
        accepted: () => false,
        lineEnding: () => {},
        unary: (payload, _header, status, text) =>
          finish(status === 0 ? `result of ${payload.length} bytes` : `${status} ${text}`, status === 0),
        refused: (status, text) => finish(`${status} ${text}`, false),
        result: (_path, payload) => finish(`result of ${payload.length} bytes`, true),
      },
    );
  });
}

const open = (caller: Caller): OutgoingCall => prepareCall({ bus: caller.member.rpc, inbox: caller.member.inbox });

/** The five attacks of the demonstration, by somebody who holds rpc credentials. */
export const ATTACKS: readonly Attack[] = [
  {
    name: 'unsigned',
    sent: 'a call without a token',
    async run(caller, victim) {
      return send(open(caller), subjectOf(caller, victim), encode('attack'), undefined);
    },
  },
  {
    name: 'wrong issuer',
    sent: 'a call signed by a key outside the cluster issuers',
    async run(caller, victim) {
      const stranger = createTokenSigner({
        key: SigningKey.generate('cluster'),
        lattice: latticeName(caller.member.lattice),
        clock: caller.member.clock,
      });
      const call = open(caller);
      const params = encode('attack');
      return send(call, subjectOf(caller, victim), params, await tokenFor(caller, stranger, call, victim, params));
    },
  },
  {
    name: 'altered payload',
    sent: 'a genuine token with other parameters',
    async run(caller, victim) {
      const call = open(caller);
      const token = await tokenFor(caller, caller.member.signer, call, victim, encode('signed'));
      return send(call, subjectOf(caller, victim), encode('attack'), token);
    },
  },
  {
    name: 'redirected target',
    sent: 'a genuine token for another component',
    async run(caller, victim, other) {
      const call = open(caller);
      const params = encode('attack');
      return send(call, subjectOf(caller, victim), params, await tokenFor(caller, caller.member.signer, call, other, params));
    },
  },
  {
    name: 'replay',
    sent: 'a genuine call, a second time',
    async run(caller, victim) {
      const call = open(caller);
      const params = encode('genuine');
      const token = await tokenFor(caller, caller.member.signer, call, victim, params);
      const first = await send(call, subjectOf(caller, victim), params, token);
      if (!first.executed) return { text: `the genuine call failed: ${first.text}`, executed: true };
      return send(call, subjectOf(caller, victim), params, token);
    },
  },
];
