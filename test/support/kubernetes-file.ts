import { chmodSync, chownSync, copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Container, PodSpec, Volume } from 'kubernetes-types/core/v1.js';
import type { Deployment } from 'kubernetes-types/apps/v1.js';
import { parseAllDocuments } from 'yaml';
import type { ComposeMount, ComposeProject, ComposeService } from './compose-file.ts';

/** One object of a manifest. */
export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly [field: string]: unknown;
}

/** Every object of a manifest. */
export function readManifest(file: string): readonly ManifestObject[] {
  return parseAllDocuments(readFileSync(file, 'utf8')).map((document) => {
    if (document.errors.length > 0) throw document.errors[0]!;
    return document.toJS() as ManifestObject;
  });
}

/** The deployment of a manifest, which has exactly one. */
export function deploymentOf(file: string): Deployment {
  const [found, ...more] = readManifest(file).filter(({ kind }) => kind === 'Deployment');
  if (found === undefined || more.length > 0)
    throw new Error(`${file} has ${more.length + (found === undefined ? 0 : 1)} deployments`);
  return found as unknown as Deployment;
}

/** What a pod of a deployment gets that is not in the manifest. */
export interface PodPlace {
  readonly podName: string;
  /** Folder with the files of each secret. */
  readonly secrets: Readonly<Record<string, string>>;
  /** A folder of the test's own, for what the kubelet makes. */
  readonly dir: string;
  /** Networks that the pod is on, as those of a stack. */
  readonly networks: readonly string[];
}

/**
 * A pod as a stack runs it: each container a service, all on the network of the first one, which is a sidecar: an init container that
 * goes on. A field that decides how a container runs and that this does not know is an error.
 */
export function podAsProject(file: string, place: PodPlace): ComposeProject {
  const spec: PodSpec = deploymentOf(file).spec!.template.spec!;
  known('the pod', spec, POD_FIELDS);
  known('securityContext of the pod', spec.securityContext ?? {}, POD_SECURITY_FIELDS);
  const sidecars = spec.initContainers ?? [];
  for (const { name, restartPolicy } of sidecars) if (restartPolicy !== 'Always') throw new Error(`${name} is no sidecar`);
  const containers = [...sidecars, ...spec.containers];
  const mounts = new Map((spec.volumes ?? []).map((volume) => [volume.name, lay(volume, spec, place)]));
  const owner = containers[0]!.name;
  const services = containers.map((container, i): ComposeService => {
    const isSidecar = i < sidecars.length;
    return {
      ...serviceOf(container, spec, place, mounts),
      networks: container.name === owner ? place.networks : [],
      sharesNetworkOf: container.name === owner ? undefined : owner,
      networkMode: container.name === owner ? undefined : `service:${owner}`,
      // A sidecar is up, by its startup probe, before what follows begins; sidecars end last.
      dependsOn: isSidecar ? {} : Object.fromEntries(sidecars.map(({ name }) => [name, 'service_healthy' as const])),
    };
  });
  return {
    file,
    name: place.podName,
    services: Object.fromEntries(services.map((service) => [service.name, service])),
    networks: {},
    volumes: [...mounts.values()].filter(({ kind }) => kind === 'volume').map(({ source }) => source),
  };
}

const POD_FIELDS = [
  'automountServiceAccountToken enableServiceLinks terminationGracePeriodSeconds securityContext topologySpreadConstraints',
  'initContainers containers volumes',
];
const POD_SECURITY_FIELDS = ['runAsNonRoot runAsGroup fsGroup fsGroupChangePolicy seccompProfile'];
const CONTAINER_FIELDS = [
  'name restartPolicy image command args env startupProbe readinessProbe livenessProbe resources securityContext volumeMounts',
];
const SECURITY_FIELDS = ['runAsUser allowPrivilegeEscalation readOnlyRootFilesystem capabilities'];

function serviceOf(
  container: Container,
  pod: PodSpec,
  place: PodPlace,
  volumes: ReadonlyMap<string, Omit<ComposeMount, 'target'>>,
): Omit<ComposeService, 'networks' | 'sharesNetworkOf' | 'networkMode' | 'dependsOn'> {
  const { name, securityContext: security = {}, startupProbe: probe } = container;
  known(`container ${name}`, container, CONTAINER_FIELDS);
  known(`securityContext of ${name}`, security, SECURITY_FIELDS);
  const environment = (container.env ?? []).map(({ name: variable, value, valueFrom }): [string, string] => {
    if (valueFrom === undefined) return [variable, value ?? ''];
    if (valueFrom.fieldRef?.fieldPath !== 'metadata.name') throw new Error(`${name}: ${variable} comes from something unknown`);
    return [variable, place.podName];
  });
  const mounts = (container.volumeMounts ?? []).map((mount): ComposeMount => {
    known(`volumeMounts of ${name}`, mount, ['name mountPath readOnly']);
    const volume = volumes.get(mount.name);
    if (volume === undefined) throw new Error(`${name} mounts ${mount.name}, which is no volume`);
    return { ...volume, target: mount.mountPath, readOnly: mount.readOnly === true };
  });
  return {
    name,
    profiles: [],
    image: container.image!,
    build: undefined,
    entrypoint: container.command,
    command: container.args,
    user: `${security.runAsUser}:${pod.securityContext?.runAsGroup}`,
    workingDir: undefined,
    environment: Object.fromEntries(environment),
    mounts,
    readOnlyRoot: security.readOnlyRootFilesystem === true,
    capDrop: security.capabilities?.drop ?? [],
    capAdd: security.capabilities?.add ?? [],
    securityOpt: security.allowPrivilegeEscalation === false ? ['no-new-privileges:true'] : [],
    privileged: security.privileged === true,
    coreLimit: undefined,
    ports: [],
    healthcheck:
      probe?.exec?.command === undefined
        ? undefined
        : {
            test: ['CMD', ...probe.exec.command],
            intervalMs: (probe.periodSeconds ?? 10) * 1_000,
            retries: probe.failureThreshold ?? 3,
          },
    stopSignal: 'SIGTERM',
    stopGracePeriodMs: (pod.terminationGracePeriodSeconds ?? 30) * 1_000,
    restart: 'always',
  };
}

/** Makes a volume as the kubelet does: a secret's files are links into a folder that is replaced whole, and belong to root. */
function lay(volume: Volume, pod: PodSpec, { dir, secrets }: PodPlace): Omit<ComposeMount, 'target'> {
  const { name, secret, emptyDir } = volume;
  known(`volume ${name}`, volume, ['name secret emptyDir']);
  if (emptyDir !== undefined) return { kind: 'volume', source: name, readOnly: false };
  const from = secrets[secret?.secretName ?? ''];
  if (from === undefined) throw new Error(`nobody said what is in the secret ${secret?.secretName}`);
  const folder = join(dir, name);
  const version = '..2026_01_01_00_00_00.1';
  mkdirSync(join(folder, version), { recursive: true, mode: 0o755 });
  const group = pod.securityContext?.fsGroup ?? 0;
  for (const file of readdirSync(from)) {
    const to = join(folder, version, file);
    copyFileSync(join(from, file), to);
    chmodSync(to, secret!.defaultMode ?? 0o644);
    if (process.getuid?.() === 0) chownSync(to, 0, group);
    symlinkSync(join('..data', file), join(folder, file));
  }
  symlinkSync(version, join(folder, '..data'));
  return { kind: 'bind', source: folder, readOnly: true };
}

function known(what: string, value: object, fields: readonly string[]): void {
  const names = fields.flatMap((each) => each.split(' '));
  const strange = Object.keys(value).find((key) => !names.includes(key));
  if (strange !== undefined) throw new Error(`${what} has the field ${strange}, which this reader does not know`);
}
