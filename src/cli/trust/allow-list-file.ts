import { readFileSync, statSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { TrellisError } from '../../errors.ts';
import { isToken } from '../../ids.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { AllowEntry } from '../../trust/allow-list.ts';
import { MAX_DELEGATION_LIFETIME_MS } from '../../trust/delegation.ts';
import { publicKeyKind } from '../../trust/nkey.ts';
import { EVERYBODY, scopeOf } from '../../trust/scope.ts';

const MAX_FILE_BYTES = 1024 * 1024;
const DEFAULT_LIFETIME_MS = 15 * 60_000;

const publicKey = (kind: 'user' | 'server', letter: string) =>
  z.string().refine((text) => publicKeyKind(text) === kind, { error: `must be a public key ${letter}…` });
const scope = () =>
  z
    .array(z.string().refine((id) => id === EVERYBODY || isToken(id), { error: 'must be a component id, or "*"' }))
    .default([])
    .transform(scopeOf);

const allowListSchema = z.strictObject({
  allow: z.array(
    z
      .strictObject({
        user: publicKey('user', 'U').optional(),
        host: publicKey('server', 'N').optional(),
        operator: publicKey('user', 'U').optional(),
        origins: scope(),
        targets: scope(),
        commands: scope(),
        lifetimeMs: z.int().min(10_000).max(MAX_DELEGATION_LIFETIME_MS).default(DEFAULT_LIFETIME_MS),
      })
      .refine(({ user, host, operator }) => user !== undefined || host !== undefined || operator !== undefined, {
        error: 'must name a user, a host, or both; or an operator',
      })
      .refine(
        ({ host, operator, origins, targets, commands }) =>
          operator === undefined ? commands === '' : host === undefined && origins === '' && targets === '' && commands !== '',
        { error: 'gives commands to an operator and nothing else, or components to a host' },
      ),
  ),
});

/** An allow-list that follows its file. */
export interface AllowListFile {
  /** The list as the file has it now; a newer file that cannot be read changes nothing, and is reported once. */
  current(log: Logger): readonly AllowEntry[];
}

/** Reads an allow-list, and again whenever its file has changed. @throws TRELLIS_CLI_FILE when it cannot be used now */
export function readAllowList(file: string): AllowListFile {
  let stamp = stampOf(file);
  let entries = parseFile(file);
  return {
    current(log) {
      const now = stampOf(file);
      if (now === stamp) return entries;
      stamp = now;
      try {
        entries = parseFile(file);
        log.info({ file, entries: entries.length }, 'the allow-list has changed');
      } catch (error) {
        log.error({ code: 'TRELLIS_CLI_FILE', err: error }, 'the new allow-list is not used');
      }
      return entries;
    },
  };
}

function stampOf(file: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(file);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return 'gone';
  }
}

function parseFile(file: string): readonly AllowEntry[] {
  try {
    if (statSync(file).size > MAX_FILE_BYTES) throw new Error('it is larger than 1 MiB');
    return parseAllowList(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new TrellisError('TRELLIS_CLI_FILE', {
      message: `the allow-list ${file} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`,
      remedy: 'Correct it; trellis issuer --help shows the form.',
    });
  }
}

/** The entries of an allow-list. @throws Error saying what is wrong, and never what the file holds */
export function parseAllowList(text: string): readonly AllowEntry[] {
  let value: unknown;
  try {
    value = parse(text, { uniqueKeys: true, maxAliasCount: 0, prettyErrors: false });
  } catch {
    throw new Error('it is not YAML');
  }
  const result = allowListSchema.safeParse(value);
  if (result.success) return result.data.allow;
  const [issue] = result.error.issues;
  throw new Error(`${issue?.path.join('.') ?? ''} ${issue?.message ?? 'is not as it should be'}`.trim());
}
