import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseConfig, type HostConfigInput } from '../../src/config/schema.ts';
import { startHost } from '../../src/host.ts';
import { createLogger } from '../../src/telemetry/log.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { startTestLattice } from '../support/lattice.ts';

it('a host says at its start who can talk to whom, by what the other hosts say of themselves', async () => {
  await using test = await startTestLattice();
  const { config, host } = test.lattice;
  const commands: unknown[] = [];
  test.caller.member.ctl.subscribe('wasmbus.evt.default.audit_control', {}, ({ payload }) => {
    commands.push((JSON.parse(Buffer.from(payload).toString('utf8')) as { data: { operation: unknown } }).data.operation);
  });
  const said = async (trust: HostConfigInput['trust'], name: string): Promise<string> => {
    const lines: { msg: string }[] = [];
    const log = createLogger({
      format: 'json',
      destination: { write: (line) => void lines.push(JSON.parse(line) as { msg: string }) },
    });
    const own = parseConfig({
      ...config,
      stateDir: `${config.stateDir}/${name}`,
      ...(trust === undefined ? {} : { trust }),
      components: [],
      links: [],
    });
    await using other = await startHost({ config: own, log, metrics: createMetrics({ eventLoop: false }) });
    expect(other.status().ready).toBe(true);
    const line = (): string | undefined => lines.find(({ msg }) => msg.startsWith('trust: '))?.msg;
    await expect.poll(line).toBeDefined();
    return line()!;
  };
  expect(await said(config.trust, 'same')).toContain(`; both ways with ${host.id} (`);
  const stranger = join(config.stateDir, 'stranger.seed');
  writeFileSync(stranger, SigningKey.generate('cluster').exportSeed().reveal(), { mode: 0o600 });
  const alone = await said({ clusterSeedFile: stranger }, 'stranger');
  expect(alone).toContain(`; neither way with ${host.id} (`);
  expect(alone).toMatch(/signs under C[A-Z2-7]{55}; believes C[A-Z2-7]{55}; verify enforce; replay /);
  // Asking is a control command like any other.
  await expect.poll(() => commands.includes('trust.report')).toBe(true);
});
