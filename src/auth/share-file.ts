import { z } from 'zod';
import { TrellisError } from '../errors.ts';
import { componentId, functionName, instanceName, isToken, latticeName } from '../ids.ts';
import { publicKeyKind } from '../trust/nkey.ts';
import type { ActivationClaims } from './claims-shape.ts';
import { readNatsJwt } from './nats-jwt.ts';

/** Largest share file that is read, characters. */
const MAX_SHARE_CHARS = 256 * 1024;

const issuer = z.string().refine((key) => publicKeyKind(key) === 'cluster');
const account = z.string().refine((key) => publicKeyKind(key) === 'account');
const named = (check: (value: unknown) => unknown) =>
  z.string().refine((value) => {
    try {
      check(value);
      return true;
    } catch {
      return false;
    }
  });

const shareShape = z.strictObject({
  format: z.literal('trellis-share-1'),
  lattice: named(latticeName),
  component: named(componentId),
  /** With its version, as the component exports it. */
  interface: named(instanceName).refine((name) => name !== ''),
  /** Functions of it by their wire names; all if empty. */
  functions: z.array(named(functionName)).max(256),
  /** Public key of the account that shares. */
  exporter: account,
  /** Public key of the account that may import. */
  importer: account,
  /** Cluster issuers of the lattice that shares. */
  issuers: z.array(issuer).max(16),
  /** Ids of the callers that are meant. */
  callers: z.array(z.string().refine((id) => isToken(id))).max(256),
  /** RFC 3339; never if left out. */
  until: z.iso.datetime().exactOptional(),
  /** One for each subject that is shared. */
  activations: z.array(z.string()).min(1).max(256),
});

/** What one tenant hands another one: which interface it shares, and the word of its account. Holds no secret. */
export type Share = z.infer<typeof shareShape>;

/** One subject of a share, and the activation for it. */
export interface SharedSubject {
  readonly subject: string;
  /** What follows component and protocol in it: `ns:pkg/iface@1.0.0.>` or `ns:pkg/iface@1.0.0.func`. */
  readonly rest: string;
  readonly activation: string;
  /** Public key that signed it. */
  readonly signer: string;
}

/** The subjects of an interface of a component, one for each function or one for all; with what follows the component in each. */
export function subjectsOf(
  share: Pick<Share, 'lattice' | 'component' | 'interface' | 'functions'>,
): { subject: string; rest: string }[] {
  const { lattice, component, interface: instance, functions } = share;
  return (functions.length === 0 ? ['>'] : functions).map((func) => {
    const rest = `${instance}.${func}`;
    return { subject: `${lattice}.${component}.wrpc.0.0.1.${rest}`, rest };
  });
}

/** A share as a text. */
export function writeShare(share: Share): string {
  return `${JSON.stringify(share, undefined, 2)}\n`;
}

/**
 * Reads a share, and proves it as far as it proves itself: its activations are signed, by and for the accounts that it names, for exactly
 * the subjects of the interface that it names, and are not over. Whether their signer is a key of the exporting account, the server decides.
 *
 * @throws TRELLIS_AUTH_SHARE
 */
export function readShare(text: string, nowMs: number): { readonly share: Share; readonly subjects: readonly SharedSubject[] } {
  const share = parse(text);
  const subjects = subjectsOf(share);
  if (share.activations.length !== subjects.length)
    throw unusable(`has ${share.activations.length} activations for ${subjects.length} subjects`);
  const found = subjects.map(({ subject, rest }, at) => {
    const activation = share.activations[at]!;
    const read = readNatsJwt(activation, 'activation');
    if (!read.ok) throw unusable(`holds an activation that ${read.reason}`);
    checkActivation(share, subject, read.claims, nowMs);
    return { subject, rest, activation, signer: read.claims.iss };
  });
  return { share, subjects: found };
}

function parse(text: string): Share {
  if (text.length > MAX_SHARE_CHARS) throw unusable('is too long');
  try {
    return shareShape.parse(JSON.parse(text));
  } catch (cause) {
    const path = cause instanceof z.ZodError ? cause.issues[0]?.path[0] : undefined;
    throw unusable(path === undefined ? 'is not what trellis auth share writes' : `has a wrong value at ${String(path)}`);
  }
}

function checkActivation(share: Share, subject: string, { sub, iss, exp = 0, nats }: ActivationClaims, nowMs: number): void {
  if (nats.kind !== 'service' || nats.subject !== subject) throw unusable(`holds an activation that is not for ${subject}`);
  if (sub !== share.importer) throw unusable('holds an activation for another account than it names');
  if ((nats.issuer_account ?? iss) !== share.exporter) throw unusable('holds an activation by another account than it names');
  if (exp !== 0 && exp * 1_000 <= nowMs) throw unusable(`is over since ${new Date(exp * 1_000).toISOString()}`);
}

const unusable = (reason: string): TrellisError =>
  new TrellisError('TRELLIS_AUTH_SHARE', { message: `The share file ${reason}` });
