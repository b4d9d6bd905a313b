import { describe, expect, it } from 'vitest';
import { functionName } from '../../src/ids.ts';
import { hostileComponent, relayComponent } from '../support/components.ts';
import { leb, runComponent, sized } from '../support/running-component.ts';

describe('what a runner says cannot end the host', () => {
  it('GST-11 an import whose name no subject can hold fails its call', async () => {
    // The component model allows longer names than a subject does; the guest chose it, and a call is all it costs.
    const invokeImport = (): never => {
      functionName(`f${'-abcdefghij'.repeat(22)}`);
      throw new Error('not reached');
    };
    await using test = await runComponent(relayComponent(), {}, { invokeImport });
    const [pid] = test.component.pids;
    const answer = await test.call('relayed.answer');
    expect(answer).toMatchObject({ failure: 'trap', detail: expect.stringContaining('is not allowed'), ends: 1 });
    expect(await test.call('relayed.answer')).toMatchObject({ failure: 'trap', ends: 1 });
    expect(test.component.pids).toEqual([pid]);
  });

  it('GST-15 a frame that this host cannot handle costs the runner, and the next one serves', async () => {
    let faults = 1;
    const onGuestLog = (): void => {
      if (faults-- > 0) throw new Error('no room for a line');
    };
    await using test = await runComponent(hostileComponent('hostile-probes'), {}, { onGuestLog });
    const [pid] = test.component.pids;
    expect(await test.call('probes.print', Buffer.concat([leb(0), sized('a line\n')]))).toMatchObject({ ends: 1 });
    await expect.poll(() => test.component.pids.length === 1 && test.component.pids[0] !== pid).toBe(true);
    expect(await test.call('probes.environment')).toMatchObject({ failure: undefined, ends: 1 });
    expect(test.logged.join('\n')).toContain('TRELLIS_INTERNAL');
  });
});
