import { systemClock } from '../../clock.ts';
import type { HostConfig } from '../../config/schema.ts';
import { startTrustSync } from '../../control/trust-sync.ts';
import { clusterSeeds } from '../../identity/cluster-seeds.ts';
import { HEADER } from '../../invocation/headers.ts';
import { componentId, functionName, instanceName, type LatticeName } from '../../ids.ts';
import type { LatticeConnection } from '../../nats/connection.ts';
import { createLogger } from '../../telemetry/log.ts';
import { MAX_DELEGATION_CHARS } from '../../trust/delegation.ts';
import { ReplayWindow } from '../../trust/replay.ts';
import { readRequestClaims, type RequestClaims } from '../../trust/request-token.ts';
import { openToken } from '../../trust/token.ts';
import { TrustState } from '../../trust/trust-state.ts';
import { TrustedTime } from '../../trust/trusted-time.ts';
import { createRequestVerifier } from '../../trust/verify-request.ts';
import type { BusMessage } from '../../wrpc/bus.ts';
import { invocationSubject } from '../../wrpc/subjects.ts';
import type { SpyVerdict } from './spied-call.ts';

/** Says of calls that are overheard whether a host would believe who makes them. */
export interface SpyJudge {
  judge(message: BusMessage): { readonly verdict: SpyVerdict; readonly claims: RequestClaims | undefined };
  close(): void;
}

/** Any origin may have any link here: which ones it has is the business of the host that it calls. */
const ANY_LINK = { allows: () => true };

/**
 * A judge by the issuers of the configuration and, where the ctl connection lets it, of the trust bucket. Keys that speak by a
 * delegation are known from the bucket, and from calls that show it.
 */
export async function openSpyJudge(config: HostConfig, lattice: LatticeName, ctl: LatticeConnection): Promise<SpyJudge> {
  const issuers = await issuersOf(config);
  if (issuers.length === 0) return withoutIssuers();
  const time = new TrustedTime(systemClock);
  const { skewMs, maxStaleMs, bind } = config.trust;
  const freshState = (): TrustState => new TrustState({ lattice, issuers, time, skewMs });
  const state = freshState();
  const log = createLogger({ level: 'error', format: 'pretty' });
  const place = { domain: config.trust.storeDomain, viaLeaf: config.ctl.viaLeaf };
  const sync = await startTrustSync({ ctl, lattice, state, freshState, mode: 'auto', maxStaleMs, place, log }).catch(
    () => undefined,
  );
  const kept = await sync?.bucket?.list('delegation').catch(() => []);
  for (const { text } of kept ?? []) if (text !== undefined) state.takeDelegation(text);
  const verifier = createRequestVerifier({
    lattice,
    signers: state,
    time,
    replay: new ReplayWindow({ clock: systemClock, maxEntries: 1, skewMs }),
    links: ANY_LINK,
    unlinkedOrigins: [],
    bind,
    skewMs,
  });
  return {
    judge(message) {
      const token = message.header(HEADER.invocation);
      const claims = claimsOf(token);
      if (claims === undefined) return { verdict: undecided(token), claims };
      const shown = message.header(HEADER.delegation);
      if (shown !== undefined) takeShown(state, shown);
      if (subjectOf(lattice, claims) !== message.subject) {
        const detail = 'the token was made for another component, interface or function';
        return { verdict: { state: 'refused', code: 'TRELLIS_VERIFY_TARGET', detail }, claims };
      }
      const verdict = verifier.verify({
        token,
        subject: message.subject,
        reply: message.reply,
        target: claims.tgt,
        instance: claims.ins,
        func: claims.fun,
        sourceId: message.header(HEADER.sourceId),
        linkName: message.header(HEADER.linkName),
        params: message.payload,
      });
      if (verdict.ok) return { verdict: { state: 'verified' }, claims };
      if (verdict.code === 'TRELLIS_VERIFY_DELEGATION') {
        return { verdict: { state: 'undecided', detail: verdict.detail }, claims };
      }
      return { verdict: { state: 'refused', code: verdict.code, detail: verdict.detail }, claims };
    },
    close: () => sync?.close(),
  };
}

/** A delegation, or that of a provider and its host's with a blank between them. What is no good is not taken. */
function takeShown(state: TrustState, shown: string): void {
  if (shown.length > 2 * MAX_DELEGATION_CHARS + 1) return;
  const [text, parent] = shown.split(' ');
  state.takeDelegation(text!, parent);
}

function withoutIssuers(): SpyJudge {
  const verdict: SpyVerdict = { state: 'undecided', detail: 'no cluster issuers are configured (trust.clusterIssuers)' };
  return {
    judge(message) {
      const token = message.header(HEADER.invocation);
      return { verdict: token === undefined ? { state: 'unsigned' } : verdict, claims: claimsOf(token) };
    },
    close: () => {},
  };
}

function undecided(token: string | undefined): SpyVerdict {
  if (token === undefined || token === '') return { state: 'unsigned' };
  return { state: 'refused', code: 'TRELLIS_VERIFY_MALFORMED', detail: 'the token is malformed' };
}

/** What a token says; nobody has checked it. */
function claimsOf(token: string | undefined): RequestClaims | undefined {
  if (token === undefined || token === '') return undefined;
  const opened = openToken(token, 'request');
  return 'fault' in opened ? undefined : readRequestClaims(opened.claimsText);
}

function subjectOf(lattice: LatticeName, { tgt, ins, fun }: RequestClaims): string | undefined {
  try {
    return invocationSubject({ lattice, component: componentId(tgt), instance: instanceName(ins), func: functionName(fun) });
  } catch {
    return undefined;
  }
}

async function issuersOf(config: HostConfig): Promise<readonly string[]> {
  if (config.trust.clusterIssuers.length > 0) return config.trust.clusterIssuers;
  const seeds = clusterSeeds(config);
  return seeds.adHoc ? [] : (await seeds.read()).map((key) => key.publicKey);
}
