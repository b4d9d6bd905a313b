import { quote } from '../../ids.ts';
import { isConfigName } from '../../lattice/config-values.ts';
import { readConfig, readRegistries } from '../../lattice/control-messages.ts';
import { configDeleted, configSet, errorChain } from '../../lattice/events.ts';
import type { ControlOptions } from './options.ts';
import { answered, done, failed, noList, type Outcome } from './outcome.ts';

/** Carries out `config.put`. */
export async function putConfig({ data, events }: ControlOptions, payload: Uint8Array, name: string): Promise<Outcome> {
  const parsed = readConfig(payload);
  if ('error' in parsed) return failed(parsed.error);
  if (!isConfigName(name)) return failed('unable to store config data', quote(name));
  try {
    await data.putConfig(name, parsed.value);
  } catch (error) {
    return failed(`unable to store config data${because(error)}`, quote(name));
  }
  events.publish(configSet(name));
  return done('successfully put config', quote(name));
}

/** Carries out `config.get`. A name that is not there is no failure. */
export async function getConfig({ data }: ControlOptions, name: string): Promise<Outcome> {
  const values = isConfigName(name) ? await data.getConfig(name) : undefined;
  return values === undefined ? done('Configuration not found') : answered(values);
}

/** Carries out `config.del`, which may be done twice. */
export async function deleteConfig({ data, events }: ControlOptions, name: string): Promise<Outcome> {
  if (!isConfigName(name)) return failed('Unable to delete config data', quote(name));
  try {
    await data.deleteConfig(name);
  } catch (error) {
    return failed(`Unable to delete config data${because(error)}`, quote(name));
  }
  events.publish(configDeleted(name));
  return done('successfully deleted config', quote(name));
}

/** Answers `claims.get` from what this host has read. */
export function getClaims({ data }: ControlOptions): Outcome {
  return data.state === 'absent' ? noData() : answered(data.claims());
}

/**
 * Carries out `registry.put`. The credentials stay in memory, and no text of them goes anywhere else.
 * @param isSilent - It named nowhere for an answer: then what could be the answer of a server is not taken for credentials.
 */
export function putRegistries({ registries, log }: ControlOptions, payload: Uint8Array, isSilent: boolean): Outcome {
  const parsed = readRegistries(payload);
  if ('error' in parsed) return failed(parsed.error);
  const entries = Object.entries(parsed.value);
  const hasNone = entries.some(([, each]) => each.username === undefined && each.token === undefined);
  if (isSilent && (entries.length === 0 || hasNone)) return failed('no credentials in a request without an inbox');
  for (const warning of registries.put(parsed.value)) log.warn({ code: 'TRELLIS_CONTROL_FAILED' }, `registry.put: ${warning}`);
  return done(
    'successfully put registries',
    entries
      .map(([registry]) => quote(registry))
      .join(' ')
      .slice(0, 400),
  );
}

/** What a host answers that has not read the lattice's data yet: an empty answer would be a wrong one. */
export function noData(): Outcome {
  return noList('the data of the lattice cannot be read: JetStream does not answer');
}

const because = (error: unknown): string => `: ${errorChain(error)}`;
