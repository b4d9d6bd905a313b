import { readFileSync } from 'node:fs';
import { openIssuerSet } from '../trust/issuer-set.ts';

/** What a host knew when it was last running. Its texts are signed, and are verified again by whoever takes them. */
export interface KeptTrust {
  /** The lattice had a trust bucket; from then on it must have one. */
  readonly hadBucket: boolean;
  /** Oldest first. */
  readonly issuerSets: readonly string[];
  readonly revocations: readonly string[];
}

/** Where a host keeps that. */
export interface TrustFile {
  readonly path: string;
  /** What is kept, `undefined` where nothing was, `damaged` where it cannot be read as what this class wrote. Never throws. */
  load(): KeptTrust | 'damaged' | undefined;
  /** Keeps it, unless a later epoch is kept already. @throws what writing a file throws */
  save(trust: KeptTrust): void;
}

const MAX_FILE_CHARS = 64 * 1024 * 1024;

/**
 * The trust of a lattice in one file.
 *
 * @param replace writes a whole file or nothing, readable by this user only
 */
export function openTrustFile(path: string, replace: (path: string, text: string) => void): TrustFile {
  const load = (): KeptTrust | 'damaged' | undefined => {
    try {
      return readTrust(readFileSync(path, 'utf8')) ?? 'damaged';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'damaged';
    }
  };
  return {
    path,
    load,
    save(trust) {
      // Another host of this lattice may keep its trust in the same folder: the later epoch protects both.
      const kept = load();
      if (typeof kept === 'object' && lastEpoch(kept) > lastEpoch(trust)) return;
      const { hadBucket, issuerSets, revocations } = trust;
      replace(path, `${JSON.stringify({ v: 1, hadBucket, issuerSets, revocations }, undefined, 1)}\n`);
    },
  };
}

function lastEpoch({ issuerSets }: KeptTrust): number {
  return openIssuerSet(issuerSets.at(-1) ?? '')?.epc ?? 0;
}

/** The trust in the text of a file, or `undefined` if it is damaged. Never throws. */
export function readTrust(text: string): KeptTrust | undefined {
  if (text.length > MAX_FILE_CHARS) return undefined;
  let value: Partial<Record<keyof KeptTrust | 'v', unknown>> | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value?.v !== 1 || typeof value.hadBucket !== 'boolean') return undefined;
  const { hadBucket, issuerSets, revocations } = value;
  // A text that is no issuer set would be passed over by who takes it, and with it the epoch it stood for.
  if (!isTexts(issuerSets) || !isTexts(revocations)) return undefined;
  if (!issuerSets.every((each) => openIssuerSet(each) !== undefined)) return undefined;
  return { hadBucket, issuerSets, revocations };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string');
}
