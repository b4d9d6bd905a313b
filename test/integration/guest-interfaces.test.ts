import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ComponentPorts } from '../../src/component/component.ts';
import { builtGuest } from '../support/built-guest.ts';
import { helloComponent, switchboardComponent } from '../support/components.ts';
import { leb, runComponent, sized, type Outcome, type TestComponent } from '../support/running-component.ts';
import { startTwoHosts, type TwoHosts } from '../support/two-hosts.ts';

const GREETING = 'trellis-samples:hello/greeting';
const text = (...values: readonly string[]): Buffer => Buffer.concat(values.map((value) => sized(value)));
const no = (iface: string, link: string): string =>
  `interface \`trellis-samples:hello/${iface}\` does not have an existing link with name \`${link}\``;

/** What a call returned: its text after the length, and after the case of a result. */
const said = ({ root, failure, detail }: Outcome): string => (failure === undefined ? root.toString().slice(1) : detail);

describe('a component of 1.x', () => {
  let guest: TestComponent;
  const logged: unknown[][] = [];
  const chosen: (string | undefined)[] = [];
  const ports: Partial<ComponentPorts> = {
    hasLink: (_component, name, iface) => (name === 'default' || name === 'other') && iface === GREETING,
    invokeImport: (call, events) => {
      chosen.push(call.link);
      events.result(sized(call.link ?? 'default'), false);
      return { sendPath() {}, cancel() {} };
    },
    onGuestLog: (_component, level, line, context) => void logged.push([level, context, line]),
  };
  const slow = (link: string, ms: number): Promise<Outcome> =>
    guest.call('uses.choose-wait-greet', Buffer.concat([sized(link), leb(ms), sized('Ann')]));

  describe.each(['fresh', 'reuse'] as const)('under %s', (policy) => {
    beforeAll(async () => {
      guest = await runComponent(await builtGuest('veteran'), { policy, config: { tone: 'warm' } }, ports);
    });
    afterAll(() => guest[Symbol.asyncDispose]());

    it('chooses links by wasmcloud:bus 1.0.0, which ignores those that do not exist', async () => {
      expect(said(await guest.call('uses.choose-and-greet', text('other', 'Ann')))).toBe('other');
      expect(said(await guest.call('uses.choose-and-greet', text('none', 'Ann')))).toBe('default');
    });

    it('chooses links by wasmcloud:bus 2.0.x, which says so', async () => {
      expect(await slow('other', 1)).toMatchObject({ hex: '00056f74686572' });
      expect(said(await slow('none', 1)).slice(1)).toBe(no('greeting', 'none'));
      // Names that could be no names are not asked for.
      for (const odd of ['', 'a\nb', 'x'.repeat(300), 'ü']) {
        const outcome = await slow(odd, 1);
        expect(outcome.hex).toMatch(/^01/);
        expect(outcome.root.toString()).toContain(no('greeting', odd));
      }
    });

    it('chooses all of several interfaces or none', async () => {
      expect(said(await guest.call('uses.choose-two', text('other', 'Ann'))).slice(1)).toBe(
        `${no('farewell', 'other')} / default`,
      );
    });

    it('chooses for one invocation: calls beside it and after it are not touched', async () => {
      const [other, plain] = await Promise.all([slow('other', 200), guest.call('uses.plain', sized('Ann'))]);
      expect(said(other).slice(1)).toBe('other');
      expect(said(plain)).toBe('default');
      for (let i = 0; i < 5; i++) {
        await guest.call('uses.choose-and-greet', text('other', 'Ann'));
        expect(said(await guest.call('uses.plain', sized('Ann')))).toBe('default');
      }
    });

    it('sees a changed configuration from its next call on, and one that runs sees what it began with', async () => {
      const setting = async (): Promise<string> => (await guest.call('uses.setting', sized('tone'))).root.toString();
      logged.length = 0;
      guest.component.setConfig({ tone: 'warm' });
      expect(await setting()).toBe('\u0001\u0004warm');
      const { outcome } = guest.begin('uses.setting-twice', Buffer.concat([sized('tone'), leb(400)]));
      await expect.poll(() => logged.some(([, context]) => context === 'setting-twice')).toBe(true);
      const pids = guest.component.pids;
      guest.component.setConfig({ tone: 'cold', more: 'x' });
      expect(await setting()).toBe('\u0001\u0004cold');
      expect((await outcome).root.toString()).toBe('\u0002\u0004warm\u0004warm');
      guest.component.setConfig({});
      expect(await setting()).toBe('\0');
      expect(guest.component.pids).toEqual(pids);
    });

    it('keeps a changed configuration when its runner is replaced', async () => {
      guest.component.setConfig({ tone: 'kept' });
      const [before] = guest.component.pids;
      process.kill(before!, 'SIGKILL');
      await expect.poll(() => guest.component.pids[0] ?? before).not.toBe(before);
      await expect.poll(async () => (await guest.call('uses.setting', sized('tone'))).root.toString()).toBe('\u0001\u0004kept');
    });

    it('logs with levels and a context, one printable line each', async () => {
      logged.length = 0;
      await guest.call('uses.say', text('billing', 'a\nb'));
      await expect.poll(() => logged.length).toBe(6);
      expect(logged.map(([level]) => level)).toEqual(['trace', 'debug', 'info', 'warn', 'error', 'error']);
      expect(logged[0]).toEqual(['trace', 'billing', 'a\\u000ab']);
      logged.length = 0;
      await guest.call('uses.say', text('', 'plain'));
      await expect.poll(() => logged.length).toBe(6);
      expect(logged[0]).toEqual(['trace', undefined, 'plain']);
    });

    it('finds no secrets and no identity', async () => {
      expect(said(await guest.call('uses.secret', sized('db'))).slice(1)).toBe('refused: not-found');
      expect((await guest.call('uses.identity')).hex).toBe('00');
    });
  });
});

describe('two hosts under enforce', () => {
  let lab: TwoHosts;
  const call = (operation: string, ...args: readonly unknown[]): Promise<unknown> => lab.call('switchboard', operation, ...args);
  beforeAll(async () => {
    const wit = { namespace: 'trellis-samples', package: 'hello', interfaces: ['greeting'] };
    const moody = await builtGuest('moody');
    lab = await startTwoHosts(
      {
        front: [{ id: 'switchboard', file: switchboardComponent().file, config: { link: 'other' } }],
        back: [
          { id: 'hello', file: helloComponent().file },
          { id: 'moody', file: moody.file },
        ],
        links: [
          { source: 'switchboard', target: 'hello', name: 'default', ...wit },
          { source: 'switchboard', target: 'moody', name: 'other', ...wit },
          { source: 'switchboard', target: 'moody', name: 'odd', ...wit, interfaces: ['farewell'] },
        ],
      },
      ['switchboard trellis-samples:switchboard/board'],
    );
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  it('a guest chooses between two targets by the name of the link, and each call is verified', async () => {
    expect(await call('board.greet', 'Ann')).toEqual({ ok: 'Not now, Ann.' });
    expect(await call('board.greet-through', ['default', 'other', 'default'], 'Bo')).toEqual({
      ok: ['Hello, Bo!', 'Not now, Bo.', 'Hello, Bo!'],
    });
    await expect.poll(() => lab.logged.filter((line) => line['guest'] === 'greeted through other').length).toBe(2);
    expect(lab.logged.find((line) => line['guest'] === 'greeted through other')).toMatchObject({
      component: 'switchboard',
      context: 'switchboard',
      level: 'info',
    });
  });

  it('a guest is told which link is missing, and may go on', async () => {
    expect(await call('board.greet-through', ['default', 'odd'], 'Bo')).toEqual({ err: no('greeting', 'odd') });
    expect(await call('board.greet-through', ['none'], 'Bo')).toEqual({ err: no('greeting', 'none') });
  });
});
