import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { planReload, RELOADABLE } from '../../../src/config/reload-plan.ts';
import { parseConfig, type HostConfigInput } from '../../../src/config/schema.ts';
import { listSettings, settingGroups } from '../../../src/config/settings.ts';

const plan = (before: HostConfigInput, after: HostConfigInput) => planReload(parseConfig(before), parseConfig(after));

describe('the plan of a reload', () => {
  it('finds nothing in the same configuration twice', () => {
    const settings = { components: [{ id: 'a', file: '/a.wasm' }], rpc: { tls: { serverName: 'x' } } };
    expect(plan(settings, settings)).toEqual({ applied: [], needsRestart: [], config: parseConfig(settings) });
  });

  it('takes over what it can, and keeps the old value of everything else', () => {
    const { applied, needsRestart, config } = plan(
      { lattice: 'one', limits: { maxInFlight: 5 }, rpc: { tls: { serverName: 'x' } }, ctl: { credsFile: '/c' } },
      {
        lattice: 'two',
        limits: { maxInFlight: 6, maxResultBytes: 2_000 },
        log: { level: 'debug', format: 'json' },
        trust: { unlinkedOrigins: ['me'], verify: 'observe' },
        ctl: { tls: { caFile: '/ca' }, pingIntervalMs: 2_000 },
      },
    );
    expect(applied).toEqual(['ctl.credsFile', 'ctl.tls', 'limits.maxInFlight', 'log.level', 'rpc.tls', 'trust.unlinkedOrigins']);
    expect(needsRestart).toEqual(['ctl.pingIntervalMs', 'lattice', 'limits.maxResultBytes', 'log.format', 'trust.verify']);
    expect(config).toEqual(
      parseConfig({
        lattice: 'one',
        limits: { maxInFlight: 6 },
        ctl: { tls: { caFile: '/ca' } },
        log: { level: 'debug' },
        trust: { unlinkedOrigins: ['me'] },
      }),
    );
  });

  it('names only settings that there are, and the document names all of them', () => {
    const known = new Set([...listSettings().map(({ name }) => name), ...settingGroups().map(({ name }) => name)]);
    const documented = readFileSync(new URL('../../../docs/lifecycle.md', import.meta.url), 'utf8');
    for (const name of RELOADABLE) {
      expect(known.has(name) || known.has(`${name}[]`), name).toBe(true);
      expect(documented, name).toContain(`\`${name}\``);
    }
  });
});
