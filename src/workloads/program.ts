import { type Artifact, type ArtifactOptions, artifactOptions, withArtifact } from '../component/artifact.ts';
import type { EmbeddedClaims } from '../component/claims.ts';
import { readReference } from '../component/reference.ts';
import { allowed } from '../config/allowances.ts';
import { replaceablePlace } from '../config/check-components.ts';
import type { ComponentConfig, HostConfig } from '../config/schema.ts';
import { TrellisError } from '../errors.ts';
import { quotePath } from '../ids.ts';
import type { Permits } from '../lanes.ts';
import { componentLimits } from '../lattice/component-limits.ts';
import type { EventClaims } from '../lattice/events.ts';
import type { ServeOptions } from './served-component.ts';

/** A component as its reference led to it. */
export interface FetchedProgram extends Pick<Artifact, 'bytes' | 'digest'> {
  /** Embedded in it, and verified. */
  readonly claims?: EmbeddedClaims | undefined;
}

/** How a host fetches components now. */
export function fetchOptions({ config, registries, member }: ServeOptions): ArtifactOptions {
  return artifactOptions(config, registries, () => member.clock.wallMs());
}

/**
 * Runs `work` with what a reference of the lattice leads to, in its turn; none is held while a registry is asked.
 * @param signal - Ends a pull, with its reason.
 * @throws TRELLIS_ARTIFACT_*, TRELLIS_COMPONENT_*, TRELLIS_CLAIMS_INVALID
 */
export async function withProgram<T>(
  ref: string,
  serving: ServeOptions,
  turns: Permits,
  signal: AbortSignal,
  work: (program: FetchedProgram) => Promise<T>,
): Promise<T> {
  const options = fetchOptions(serving);
  if (options.allowFiles) refuseReplaceable(ref, serving.config);
  return withArtifact(ref, { ...options, signal }, turns, work);
}

type Strings = Readonly<Record<string, string>>;

/** 1.x guests see this program name, and nothing else. */
const ARGS = ['main.wasm'];
const MAX_QUEUE = 1_024;
const LEAST_MEMORY_BYTES = 65_536;

/** What a component is run with that the lattice asked for: no grants, no environment, and no more than the host's limits. */
export function settingsOf(
  asked: { readonly id: string; readonly imageRef: string; readonly maxInstances: number; readonly limits: Strings | null },
  { limits }: Pick<HostConfig, 'limits'>,
): ComponentConfig {
  const { maxMemoryBytes, maxExecutionTimeMs } = componentLimits(asked.limits ?? undefined);
  return {
    id: asked.id,
    file: asked.imageRef,
    policy: 'fresh',
    maxInstances: instancesOf(asked.maxInstances, limits),
    maxQueue: MAX_QUEUE,
    env: {},
    args: ARGS,
    config: {},
    grants: { preopens: [], network: [] },
    ...(maxMemoryBytes === undefined
      ? {}
      : { maxMemoryBytes: Math.max(LEAST_MEMORY_BYTES, Math.min(maxMemoryBytes, limits.maxLinearMemoryBytes)) }),
    ...(maxExecutionTimeMs === undefined ? {} : { timeoutMs: Math.min(maxExecutionTimeMs, limits.maxExecutionTimeMs) }),
  };
}

/** How many invocations of a component may run at once when the lattice asks for `count`, which may be no limit at all. */
export function instancesOf(count: number, limits: Pick<HostConfig['limits'], 'maxInstances'>): number {
  return Math.max(1, Math.min(count, limits.maxInstances));
}

/** START-20 for a file that the lattice names: what is there tomorrow is up to whoever may write there. @throws TRELLIS_COMPONENT_REPLACEABLE */
function refuseReplaceable(ref: string, { dev, allow }: Pick<HostConfig, 'dev' | 'allow'>): void {
  const reference = readReference(ref);
  const uid = process.getuid?.();
  if (reference.kind !== 'file' || dev || uid === undefined || allowed(allow).includes('replaceable-components')) return;
  const place = replaceablePlace(reference.path, uid);
  if (place === undefined) return;
  throw new TrellisError('TRELLIS_COMPONENT_REPLACEABLE', {
    message: `other users can replace the component file: ${place.why}, ${quotePath(place.path)}`,
    details: { path: reference.path, place: place.path },
  });
}

/** Claims as events have them: with times in seconds. */
export function eventClaims(claims: EmbeddedClaims | undefined): EventClaims | undefined {
  if (claims === undefined) return undefined;
  const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : Math.floor(ms / 1_000));
  return { ...claims, notBefore: seconds(claims.notBeforeMs), expires: seconds(claims.expiresMs) };
}

/** Claims as the lattice remembers them: every field, `''` and `[]` where nothing is known. */
export function claimsEntry(claims: EmbeddedClaims): {
  readonly call_alias: string;
  readonly issuer: string;
  readonly name: string;
  readonly revision: string;
  readonly subject: string;
  readonly tags: readonly string[];
  readonly version: string;
} {
  const { callAlias, issuer, name, revision, subject, tags, version } = claims;
  return {
    call_alias: callAlias ?? '',
    issuer,
    name: name ?? '',
    revision: revision === undefined ? '' : String(revision),
    subject,
    tags: tags ?? [],
    version: version ?? '',
  };
}
