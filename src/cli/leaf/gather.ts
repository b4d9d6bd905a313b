import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { isExposedMode, readSecretFile } from '../../config/secret-files.ts';
import { TrellisError } from '../../errors.ts';
import { latticeName } from '../../ids.ts';
import { type LeafUser, readLeafUser } from '../../leaf/leaf-user.ts';
import { type SidecarSpec, sidecarSpec } from '../../leaf/sidecar-spec.ts';
import { SigningKey } from '../../trust/nkey.ts';
import type { ConfigFlags } from './flags.ts';
import { operatorParts } from './operator-parts.ts';

/** What the flags of `trellis leaf config` name, read and checked. Nothing has been written yet. */
export interface LeafParts {
  readonly users: { readonly ctl: LeafUser; readonly rpc: LeafUser };
  /** The sidecar with its files where they are now. */
  readonly here: SidecarSpec;
  /** The sidecar with its files where it will find them. */
  readonly there: SidecarSpec;
  /** The local ctl user; not in the operator form. */
  readonly local: LocalUser | undefined;
  readonly warnings: readonly string[];
}

/** The key by which the host logs in to ctl on loopback. */
export interface LocalUser {
  readonly file: string;
  readonly key: SigningKey;
  /** True if the file does not exist yet. */
  readonly isNew: boolean;
}

const WEEK_MS = 7 * 86_400_000;

/** Reads what the flags name. @throws TRELLIS_LEAF_INPUT, TRELLIS_CLI_FILE, TRELLIS_ID_INVALID, TRELLIS_KEY_INVALID */
export function gatherLeafParts(flags: ConfigFlags, nowMs: number): LeafParts {
  const warnings: string[] = [];
  const users = { ctl: readUser(flags.ctlCreds, nowMs, warnings), rpc: readUser(flags.rpcCreds, nowMs, warnings) };
  if (users.ctl.publicKey === users.rpc.publicKey) {
    throw refuse('both credentials files are for one user: then the two partitions are one', 'Give ctl and rpc a user each.');
  }
  if (users.ctl.account === users.rpc.account) {
    warnings.push('ctl and rpc are in one account at the hub: only the permissions of their users keep them apart there.');
  }
  const operator = flags.form === 'operator' ? operatorParts(flags, users) : undefined;
  const local = flags.form === 'operator' ? undefined : localUser(flags.ctlSeed);
  const spec = (where: (file: string) => string): SidecarSpec => {
    const path = (file: string | undefined): string | undefined => (file === undefined ? undefined : where(file));
    return sidecarSpec({
      form: flags.form,
      name: flags.name ?? `leaf-${users.rpc.publicKey.slice(0, 16)}`,
      nameVariable: flags.nameEnv,
      lattice: latticeName(flags.lattice),
      hubs: flags.hub.split(',').map((hub) => hub.trim()),
      domain: flags.domain,
      caFile: path(flags.ca),
      certFile: path(flags.cert),
      keyFile: path(flags.key),
      ctl: { listen: flags.listen, credsFile: where(flags.ctlCreds) },
      rpc: { listen: rpcListen(flags), credsFile: where(flags.rpcCreds) },
      monitor: flags.monitor === 'none' ? false : flags.monitor,
      localCtlUser: local?.key.publicKey,
      maxPayloadBytes: flags.maxPayload === undefined ? undefined : Number(flags.maxPayload),
      operator,
    });
  };
  const here = spec((file) => resolve(file));
  const there = flags.filesIn === undefined ? here : spec((file) => `${flags.filesIn!.replace(/\/+$/, '')}/${basename(file)}`);
  return { users, here, there, local, warnings };
}

function rpcListen({ form, listen, rpcListen: given }: ConfigFlags): string {
  if (given !== undefined && form !== 'pair')
    throw refuse('--rpc-listen is for --form pair; the other forms have one address', 'Leave it out.');
  if (given !== undefined || form !== 'pair') return given ?? listen;
  const at = listen.lastIndexOf(':');
  return `${listen.slice(0, at)}:${Number(listen.slice(at + 1)) + 1}`;
}

function readUser(file: string, nowMs: number, warnings: string[]): LeafUser {
  const read = readSecretFile(file);
  if (!read.ok) throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} ${read.reason}` });
  if (isExposedMode(read.mode, read.uid)) warnings.push(`Other users of this machine can read ${file}: chmod 600 it.`);
  const user = readLeafUser(file, read.text);
  const { expiresMs } = user;
  if (expiresMs === undefined) return user;
  const until = new Date(expiresMs).toISOString();
  if (expiresMs <= nowMs) throw refuse(`the JWT in ${file} expired at ${until}`, 'Issue the user again (trellis auth rotate).');
  if (expiresMs - nowMs < WEEK_MS) warnings.push(`The JWT in ${file} expires at ${until}; replace the file before.`);
  return user;
}

function localUser(file: string): LocalUser {
  if (!existsSync(file)) return { file, key: SigningKey.generate('user'), isNew: true };
  const read = readSecretFile(file);
  if (!read.ok) throw new TrellisError('TRELLIS_CLI_FILE', { message: `${file} ${read.reason}` });
  return { file, key: SigningKey.fromSeed(read.text.trim(), 'user'), isNew: false };
}

function refuse(message: string, remedy: string): TrellisError {
  return new TrellisError('TRELLIS_LEAF_INPUT', { message, remedy });
}
