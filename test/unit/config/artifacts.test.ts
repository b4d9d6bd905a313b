import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { formatProblems } from '../../../src/config/problems.ts';
import { parseConfig, type HostConfigInput } from '../../../src/config/schema.ts';
import { checkStart } from '../../../src/config/start-checks.ts';
import { keyFacts } from '../../../src/daemon/key-facts.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const account = SigningKey.generate('account').publicKey;

function check(input: HostConfigInput) {
  return checkStart({
    config: parseConfig(input),
    sourceOf: () => 'the environment, WASMCLOUD_OCI_REGISTRY_PASSWORD',
    keys: keyFacts,
    process: { uid: 1000, inspectorOpen: false, dumpsCore: false, unconfined: undefined, nowMs: Date.now() },
  });
}
const codes = (input: HostConfigInput) => check(input).map(({ code, severity }) => (severity === 'warning' ? `(${code})` : code));

describe('the settings of artifacts', () => {
  it('have the names of 1.x in the environment', () => {
    const { config, problems } = loadConfig({
      env: {
        WASMCLOUD_ALLOW_FILE_LOAD: 'true',
        WASMCLOUD_OCI_ALLOW_LATEST: 'true',
        WASMCLOUD_OCI_ALLOWED_INSECURE: 'localhost:5000,registry.test:80',
        WASMCLOUD_OCI_REGISTRY: 'ghcr.io',
        WASMCLOUD_OCI_REGISTRY_USER: 'robot',
        WASMCLOUD_OCI_REGISTRY_PASSWORD: 'pass word',
        WASMCLOUD_TLS_CA_PATH: '/etc/a.pem,/etc/b.pem',
      },
    });
    expect(problems).toEqual([]);
    expect(config?.artifacts).toMatchObject({
      allowFiles: true,
      allowLatest: true,
      insecureRegistries: ['localhost:5000', 'registry.test:80'],
      registry: 'ghcr.io',
      username: 'robot',
      password: 'pass word',
      tlsCaFiles: ['/etc/a.pem', '/etc/b.pem'],
    });
  });

  it('allow no files and no latest, and use TLS everywhere, unless somebody says so', () => {
    expect(parseConfig().artifacts).toMatchObject({
      allowFiles: false,
      allowLatest: false,
      insecureRegistries: [],
      credentialHelpers: false,
      issuers: [],
    });
  });

  it('name registries as references do', () => {
    for (const name of ['ghcr.io', 'localhost:5000', '[::1]:5000']) parseConfig({ artifacts: { insecureRegistries: [name] } });
    for (const name of ['https://ghcr.io', 'ghcr.io/acme', 'GHCR.io', '', '*', 'user@ghcr.io']) {
      expect(() => parseConfig({ artifacts: { insecureRegistries: [name] } })).toThrow('registry');
    }
  });

  it('START-14 want registry, user and one password together', () => {
    const whole = { registry: 'ghcr.io', username: 'robot' };
    expect(codes({ artifacts: whole })).toEqual(['START-14']);
    expect(codes({ artifacts: { username: 'robot', password: 'x' }, dev: true })).toEqual(['START-14']);
    expect(codes({ artifacts: { ...whole, password: 'x' }, dev: true })).toEqual([]);
    expect(codes({ artifacts: { ...whole, password: 'x', passwordFile: '/none' }, dev: true })).toEqual(['START-06', 'START-14']);
  });

  it('START-11 mention a password that came with the environment, and show it nowhere', () => {
    const found = check({ artifacts: { registry: 'ghcr.io', username: 'robot', password: 'hunter22hunter22' } });
    expect(found).toMatchObject([{ code: 'START-11', severity: 'warning', setting: 'artifacts.password' }]);
    expect(formatProblems(found)).not.toContain('hunter22');
  });

  it('START-20 want a digest of an image, or an issuer that signs it, or development', () => {
    const of = (more: Partial<NonNullable<HostConfigInput['components']>[number]>, rest: HostConfigInput = {}) =>
      codes({ components: [{ id: 'hello', image: 'ghcr.io/acme/hello:1.0', ...more }], ...rest });
    expect(of({})).toEqual(['START-20']);
    expect(of({ image: `ghcr.io/acme/hello:1.0@${DIGEST}` })).toEqual([]);
    expect(of({ digest: DIGEST })).toEqual([]);
    expect(of({}, { artifacts: { issuers: [account] } })).toEqual([]);
    expect(of({}, { dev: true })).toEqual([]);
    expect(
      check({ components: [{ id: 'hello', image: 'ghcr.io/acme/hello:1.0' }], allow: ['replaceable-components'] }),
    ).toMatchObject([{ code: 'START-20', severity: 'allowed' }]);
  });

  it('START-20 mention a registry without TLS that is not on this computer', () => {
    const of = (name: string) => codes({ artifacts: { insecureRegistries: [name] } });
    expect(of('registry.test:80')).toEqual(['(START-20)']);
    expect(of('localhost:5000')).toEqual([]);
    expect(of('[::1]:5000')).toEqual([]);
  });

  it('START-14 refuse a component that has neither file nor image, both, and issuers that are no accounts', () => {
    expect(codes({ components: [{ id: 'hello' }] })).toEqual(['START-14']);
    expect(codes({ components: [{ id: 'hello', file: '/x.wasm', image: `a.b/c@${DIGEST}` }] })).toEqual(['START-14']);
    for (const issuer of [SigningKey.generate('cluster').publicKey, 'AAAA']) {
      expect(codes({ artifacts: { issuers: [issuer] } })).toEqual(['START-14']);
    }
    expect(codes({ artifacts: { issuers: [account] } })).toEqual([]);
  });
});
