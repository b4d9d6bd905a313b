import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Container } from 'kubernetes-types/core/v1.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseConfig } from '../../src/config/schema.ts';
import { readDockerfile } from '../support/dockerfile.ts';
import { repository } from '../support/image.ts';
import { deploymentOf, readManifest, type ManifestObject } from '../support/kubernetes-file.ts';

const manifest = join(repository, 'config/kubernetes/trellis-host.yaml');
let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'trellis-test-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Where the types of Kubernetes describe an object: `apps/v1`, `core/v1`. */
const moduleOf = (apiVersion: string): string => {
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['core', apiVersion];
  return `${group!.replace(/\.k8s\.io$/, '')}/${version!}`;
};

/** What the types of Kubernetes' own API say is wrong with objects; nothing if they are as described there. */
async function faultsOf(objects: readonly ManifestObject[]): Promise<string> {
  const types = join(repository, 'node_modules/kubernetes-types');
  const lines = objects.map(
    (object, i) =>
      `import type { ${object.kind} as T${i} } from '${types}/${moduleOf(object.apiVersion)}';\nexport const o${i}: T${i} = ${JSON.stringify(object, undefined, 1)};\n`,
  );
  const file = join(dir, 'manifest.ts');
  writeFileSync(file, lines.join(''));
  const tsc = join(repository, 'node_modules/typescript/bin/tsc');
  return promisify(execFile)(process.execPath, [
    tsc,
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--ignoreConfig',
    '--types',
    '',
    file,
  ]).then(
    () => '',
    ({ stdout }: { stdout: string }) => stdout,
  );
}

describe('config/kubernetes/trellis-host.yaml', () => {
  it('holds what the API of Kubernetes describes, and nothing else', async () => {
    const objects = readManifest(manifest);
    expect(objects.map(({ kind }) => kind)).toEqual(['Deployment', 'NetworkPolicy', 'PodDisruptionBudget']);
    expect(await faultsOf(objects)).toBe('');
    // The check itself can fail.
    const [deployment] = structuredClone(objects) as [{ spec: { replica?: number; selector?: object } } & ManifestObject];
    deployment.spec.replica = 2;
    expect(await faultsOf([deployment])).toMatch(/replica.* does not exist in type/);
    delete deployment.spec.replica;
    delete deployment.spec.selector;
    expect(await faultsOf([deployment])).toMatch(/'selector' is missing in type/);
  });

  it('confines each container, and lets nobody in', () => {
    const pod = deploymentOf(manifest).spec!.template.spec!;
    expect(pod).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(pod).not.toHaveProperty('hostNetwork');
    expect(pod).not.toHaveProperty('shareProcessNamespace');
    const containers: Container[] = [...pod.initContainers!, ...pod.containers];
    for (const { name, securityContext, image, resources, volumeMounts } of containers) {
      expect(securityContext, name).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(securityContext!.runAsUser, name).toBeGreaterThan(10_000);
      expect(image, name).toMatch(/^(?:trellis|[a-z]+:[\w.-]+@sha256:[0-9a-f]{64})$/);
      expect(resources?.limits?.['memory'], name).toBeDefined();
      // Each sees its own secret alone.
      for (const { mountPath } of volumeMounts!.filter((mount) => mount.readOnly === true))
        expect(mountPath).toBe(`/run/${name}`);
    }
    for (const { secret } of pod.volumes!.filter((volume) => volume.secret !== undefined))
      expect(secret!.defaultMode).toBe(0o440);
    const policy = readManifest(manifest).find(({ kind }) => kind === 'NetworkPolicy') as unknown as { spec: object };
    expect(policy.spec).toMatchObject({ policyTypes: ['Ingress', 'Egress'], ingress: [] });
  });

  it('gives a host longer to stop than it takes at most, and asks what the image itself asks', () => {
    const { spec } = deploymentOf(manifest);
    const pod = spec!.template.spec!;
    const base = parseConfig(parse(readFileSync(join(repository, 'config/leaf/host.yaml'), 'utf8')) as object);
    // What the daemon adds to the drain time.
    expect(pod.terminationGracePeriodSeconds! * 1_000).toBeGreaterThan(base.drainTimeoutMs + 5_000);
    expect(spec!.strategy).toMatchObject({ rollingUpdate: { maxUnavailable: 0 } });
    const { healthcheck } = readDockerfile(join(repository, 'Dockerfile'));
    const host = pod.containers[0]!;
    expect(['CMD', ...host.readinessProbe!.exec!.command!]).toEqual(healthcheck);
    expect(host.startupProbe!.exec!.command).toEqual(host.readinessProbe!.exec!.command);
    expect(host.livenessProbe!.exec!.command!.join(' ')).toContain('/livez');
  });
});
