import { isToken, quote } from '../../ids.ts';
import { isSecretName } from '../../lattice/config-values.ts';
import { readDeleteLink, readPutLink } from '../../lattice/control-messages.ts';
import { errorChain, linkdefDeleted, linkdefSet, linkdefSetFailed } from '../../lattice/events.ts';
import { readLinkQuery } from '../../lattice/link-query.ts';
import type { LatticeLink, LinkKey } from '../../lattice/links.ts';
import { noData } from './configs.ts';
import { linkAnswer } from './link-answers.ts';
import type { ControlOptions } from './options.ts';
import { done, failed, type Outcome } from './outcome.ts';
import type { ProviderLinks } from './provider-links.ts';

const CONFLICT = 'link already exists with different target, consider deleting the existing link or using a different link name';

/** Answers `link.get`: the links of the lattice, as this host has read them, or of its own configuration; all, or the part that was asked for. */
export function getLinks({ data, fileLinks }: ControlOptions, payload: Uint8Array, maxPayloadBytes: number): Outcome {
  const query = readLinkQuery(payload);
  if (query.of === 'file') return linkAnswer(fileLinks(), query, maxPayloadBytes);
  if (data.state === 'absent') return noData();
  return linkAnswer(data.linksBySource(), query, maxPayloadBytes);
}

/** Carries out `link.put`, which may be done twice. */
export async function putLink(
  options: ControlOptions,
  providers: ProviderLinks,
  payload: Uint8Array,
  traceparent: string | undefined,
): Promise<Outcome> {
  const parsed = readPutLink(payload);
  if ('error' in parsed) return failed(parsed.error);
  const link = parsed.value;
  const about = `${describe(link)} to ${quote(link.target)}`;
  const { data, events } = options;
  try {
    const wrong = wrongName(link) ?? (await missing(options, link));
    if (wrong !== undefined) throw new Error(wrong);
    if ((await data.putLink(link)) === 'conflict') throw new Error(CONFLICT);
    await providers.put(link, (name) => data.getConfig(name), traceparent);
  } catch (error) {
    const message = errorChain(error);
    events.publish(linkdefSetFailed(link, message));
    return failed(message, about);
  }
  events.publish(linkdefSet(link));
  return done('successfully set link', about);
}

/** Carries out `link.del`, which may be done twice. */
export async function deleteLink(
  { data, events }: ControlOptions,
  providers: ProviderLinks,
  payload: Uint8Array,
  traceparent: string | undefined,
): Promise<Outcome> {
  const parsed = readDeleteLink(payload);
  if ('error' in parsed) return failed(parsed.error);
  const key = parsed.value;
  const about = describe(key);
  // Under such a name nothing can have been put.
  const { spec, deleted } = isToken(key.source_id) ? await data.deleteLink(key) : { spec: false, deleted: undefined };
  if (!spec) return done("successfully deleted link (spec doesn't exist)", about);
  if (deleted !== undefined) providers.delete(deleted, traceparent);
  events.publish(linkdefDeleted(key, deleted));
  return done('successfully deleted link', about);
}

/** What of a link could not become part of a subject, if anything. */
function wrongName({ source_id, target, name }: LatticeLink): string | undefined {
  if (!isToken(source_id)) return `source_id ${quote(source_id)} is not allowed`;
  if (!isToken(target)) return `target ${quote(target)} is not allowed`;
  return isToken(name, 64) ? undefined : `link name ${quote(name)} is not allowed`;
}

/** What a link names that is not there, in the words of 1.x, if anything. */
async function missing({ data }: ControlOptions, link: LatticeLink): Promise<string | undefined> {
  const names = [...link.source_config, ...link.target_config];
  const absent = new Set(names.length === 0 ? [] : await data.missingConfig(names));
  const faults = names
    .filter((name) => absent.has(name))
    .map((name) => `${isSecretName(name) ? 'Secret reference' : 'Configuration'} ${name} not found in config store. `);
  return faults.length === 0 ? undefined : `Failed to validate configuration and secrets. ${faults.join('')}`;
}

function describe({ source_id, name, wit_namespace, wit_package }: LinkKey): string {
  return `${quote(source_id)} ${quote(`${wit_namespace}:${wit_package}`)} ${quote(name)}`;
}
