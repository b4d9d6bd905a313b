import type { Clock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import { type LatticeName, quote } from '../ids.ts';
import type { Audit } from '../telemetry/audit.ts';
import type { Logger } from '../telemetry/log.ts';
import { type AllowEntry, decideDelegation, type RefusalReason } from '../trust/allow-list.ts';
import { delegationThumbprint, mintDelegation } from '../trust/delegation.ts';
import { type DelegationRequest, openDelegationRequest, signDelegationRequest } from '../trust/delegation-request.ts';
import type { SigningKey } from '../trust/nkey.ts';
import { scopeIds } from '../trust/scope.ts';
import type { Bus, BusMessage, BusSubscription } from '../wrpc/bus.ts';
import { isInboxSubject } from '../wrpc/subjects.ts';

/** Requests taken in one second: each costs up to two signature checks and one signature. */
const MAX_PER_SECOND = 200;

/** The command's name in the audit. */
const OPERATION = 'trust.delegate';

/** Subject on which hosts ask for a delegation; the issuer services of a lattice share the work. */
const delegateSubject = (lattice: LatticeName): string => `wasmbus.ctl.v1.${lattice}.trust.delegate`;

/** What the issuer service goes by. */
export interface IssuerServiceOptions {
  readonly ctl: Bus;
  readonly lattice: LatticeName;
  readonly clock: Clock;
  readonly log: Logger;
  readonly audit: Audit;
  readonly skewMs: number;
  /** The list in force; read again for every request. */
  allowList(): readonly AllowEntry[];
  /** The key that should sign now and the epoch it signs under; `undefined` while this service holds no seed that counts. */
  signer(): { readonly key: SigningKey; readonly epoch: number } | undefined;
  /** Whether the lattice takes this delegation: a revoked host's is refused. */
  accepts(delegation: string): boolean;
}

/** Counters of an issuer service since it started. */
export interface IssuerServiceStats {
  signed: number;
  refused: number;
}

/** Signs delegations for hosts that prove themselves and are on the list. Each request leaves one log line and one audit record. */
export function serveDelegations(options: IssuerServiceOptions): BusSubscription & { readonly stats: IssuerServiceStats } {
  const { ctl, lattice, clock, log, audit } = options;
  const stats: IssuerServiceStats = { signed: 0, refused: 0 };
  let second = 0;
  let taken = 0;

  const answer = ({ line, reply }: BusMessage, body: { delegation: string } | { refused: RefusalReason }): void =>
    line.publish(reply, Buffer.from(JSON.stringify(body)));
  const refuse = (message: BusMessage, refused: RefusalReason, request?: DelegationRequest): void => {
    stats.refused++;
    const who =
      request === undefined
        ? {}
        : { [request.ctl === undefined ? 'host' : 'operator']: request.sub, user: request.usr, request: request.jti };
    log.warn({ code: 'TRELLIS_DELEGATION_REFUSED', reason: refused, ...who }, 'a delegation was refused');
    audit.record({
      kind: 'control',
      code: 'TRELLIS_DELEGATION_REFUSED',
      operation: OPERATION,
      detail: refused,
      signer: request?.sub,
      correlation: request?.jti,
    });
    answer(message, { refused });
  };

  const take = (message: BusMessage): void => {
    const { reply, payload } = message;
    if (!isInboxSubject(reply)) return;
    const nowMs = clock.wallMs();
    const thisSecond = Math.floor(clock.monotonicMs() / 1_000);
    taken = thisSecond === second ? taken + 1 : 1;
    second = thisSecond;
    if (taken > MAX_PER_SECOND) return refuse(message, 'busy');
    const request = openDelegationRequest(Buffer.from(payload).toString('latin1'));
    if (request === undefined) return refuse(message, 'malformed');
    if (request.lat !== lattice) return refuse(message, 'lattice', request);
    // Twice the difference of clocks: a request is asked for and answered at once, but by two machines.
    if (Math.abs(nowMs - request.iat) > 2 * options.skewMs + 1_000) return refuse(message, 'time', request);
    const decision = decideDelegation(options.allowList(), request);
    if (!decision.ok) return refuse(message, decision.reason, request);
    const signer = options.signer();
    if (signer === undefined) return refuse(message, 'no-key', request);
    const { org, tgt, ctl: commands, lifetimeMs } = decision;
    const delegation = mintDelegation(signer.key, {
      lattice,
      subject: request.sub,
      origins: scopeIds(org),
      targets: scopeIds(tgt),
      ...(commands === undefined ? {} : { commands: scopeIds(commands) }),
      epoch: signer.epoch,
      nowMs,
      lifetimeMs,
    });
    if (!options.accepts(delegation)) return refuse(message, 'revoked', request);
    stats.signed++;
    const kid = delegationThumbprint(delegation);
    const rights = commands === undefined ? { origins: org, targets: tgt } : { commands };
    const facts = { issuer: signer.key.publicKey, epoch: signer.epoch, kid, ...rights, lifetimeMs };
    log.info(
      { [commands === undefined ? 'host' : 'operator']: request.sub, user: request.usr, request: request.jti, ...facts },
      'delegation signed',
    );
    audit.record({
      kind: 'control',
      code: 'ok',
      operation: OPERATION,
      detail: `delegation ${kid} by ${facts.issuer}`,
      signer: request.sub,
      correlation: request.jti,
    });
    answer(message, { delegation });
  };
  const subscription = ctl.subscribe(delegateSubject(lattice), { queue: `${lattice}.trust.delegate` }, take);
  return { stats, drain: () => subscription.drain(), unsubscribe: () => subscription.unsubscribe() };
}

/** What a host needs of its ctl connection in order to ask. */
export interface AskingConnection extends Bus {
  readonly userKey: string | undefined;
  signAsUser(data: Uint8Array): Buffer | undefined;
  request(subject: string, payload: Uint8Array, options: { timeoutMs: number }): Promise<BusMessage>;
}

/** What a host or an operator asks the issuer service for. */
export interface DelegationWish {
  readonly ctl: AskingConnection;
  readonly lattice: LatticeName;
  /** Whom the delegation is for. */
  readonly holder: SigningKey;
  /** Scopes in their one spelling; see `trust/scope.ts`. An operator has `commands` and no others. */
  readonly org: string;
  readonly tgt: string;
  readonly commands?: string;
  /** Now, milliseconds since the epoch. */
  readonly nowMs: number;
  readonly timeoutMs: number;
}

/**
 * Asks the issuer service for a delegation and gives its text, which is still to be verified.
 * @throws TRELLIS_DELEGATION_REFUSED, TRELLIS_DELEGATION_UNAVAILABLE
 */
export async function requestDelegation(wish: DelegationWish): Promise<string> {
  const { ctl, lattice, holder, org, tgt, commands } = wish;
  const userKey = ctl.userKey;
  const sign = (data: Uint8Array): Buffer => ctl.signAsUser(data) ?? Buffer.alloc(0);
  const text = signDelegationRequest(
    { holder, user: userKey === undefined ? undefined : { publicKey: userKey, sign } },
    { iat: Math.floor(wish.nowMs), lat: lattice, org, tgt, ...(commands === undefined ? {} : { ctl: commands }) },
  );
  const { timeoutMs } = wish;
  const reply = await ctl.request(delegateSubject(lattice), Buffer.from(text), { timeoutMs }).catch((cause: unknown) => {
    throw new TrellisError('TRELLIS_DELEGATION_UNAVAILABLE', { cause });
  });
  const { delegation, refused } = readAnswer(reply.payload);
  if (delegation !== undefined) return delegation;
  throw new TrellisError('TRELLIS_DELEGATION_REFUSED', {
    message: `the issuer service does not sign for ${commands === undefined ? 'host' : 'operator'} ${holder.publicKey}: ${quote(refused)}`,
    details: {
      [commands === undefined ? 'host' : 'operator']: holder.publicKey,
      ...(userKey === undefined ? {} : { user: userKey }),
      reason: refused,
    },
  });
}

/** An answer of the issuer service. Never throws. */
export function readAnswer(payload: Uint8Array): { readonly delegation?: string; readonly refused: string } {
  try {
    const value = JSON.parse(Buffer.from(payload).toString('utf8')) as { delegation?: unknown; refused?: unknown } | null;
    if (typeof value?.delegation === 'string') return { delegation: value.delegation, refused: '' };
    if (typeof value?.refused === 'string') return { refused: value.refused.slice(0, 40) };
  } catch {
    // Falls through: what is no JSON is no answer either.
  }
  return { refused: 'an answer that could not be read' };
}
