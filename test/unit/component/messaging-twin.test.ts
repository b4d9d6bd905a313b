import { describe, expect, it } from 'vitest';
import { exportedFunctions, importedFunctions } from '../../../src/component/runner/functions.ts';
import { ImportFailed } from '../../../src/component/runner/import-failed.ts';
import { createMessaging, messageHandler } from '../../../src/component/runner/twins/messaging.ts';
import { WitError } from '../../../src/component/runner/wasi/wit-error.ts';
import { planFor } from '../../../src/component/transpile-plan.ts';
import type { ComponentTypes, WitFunction, WitInterface } from '../../../src/wit/types.ts';
import { wireTypes } from '../../../src/wit/wire/wire-forms.ts';

interface Guest {
  readonly Client: { connect(name: string): object };
  readonly Message: new (data: Uint8Array) => object;
  readonly RequestOptions: new () => { setTimeoutMs(ms: number): void };
  send(client: object, topic: string, message: object): Promise<void>;
  request(client: object, topic: string, message: object, options?: object): Promise<{ data(): Uint8Array }[]>;
}

type Sent = readonly [func: string, values: readonly unknown[], link: string | undefined];

/** What a guest has, over a wire that answers with `answer`. */
function guest(answer: () => unknown): { guest: Guest; sent: Sent[] } {
  const sent: Sent[] = [];
  const interfaces = createMessaging(async (_instance, func, values, link) => {
    sent.push([func, values, link]);
    return answer();
  });
  return { guest: Object.assign({}, ...Object.values(interfaces)) as Guest, sent };
}

const DATA = Uint8Array.of(1, 2);
const failing = async (error: unknown): Promise<unknown> => {
  const { guest: all } = guest(() => {
    throw error as Error;
  });
  return all.send(all.Client.connect(''), 'topic', new all.Message(DATA)).catch((thrown: unknown) => thrown);
};

describe('messages of 0.3.0', () => {
  it('go as those of 0.2.0, with a time to wait for replies', async () => {
    const { guest: all, sent } = guest(() => ({ subject: 'reply', body: DATA, replyTo: undefined }));
    const message = new all.Message(DATA);
    const options = new all.RequestOptions();
    options.setTimeoutMs(5);
    const [reply] = await all.request(all.Client.connect('second'), 'topic', message, options);
    expect(reply!.data()).toEqual(DATA);
    await all.request(all.Client.connect('default'), 'topic', message, new all.RequestOptions());
    await all.send(all.Client.connect(''), 'topic', message);
    expect(sent).toEqual([
      ['request', ['topic', DATA, 5], 'second'],
      ['request', ['topic', DATA, 10_000], undefined],
      ['publish', [{ subject: 'topic', body: DATA, replyTo: undefined }], undefined],
    ]);
  });

  it('fail with what happened, by its code alone', async () => {
    const failed = (code: string): ImportFailed => new ImportFailed('f', `${code}: of the lattice, which is not the guest's`);
    expect(await failing(failed('TRELLIS_INVOKE_TIMEOUT'))).toEqual(new WitError({ tag: 'timeout' }));
    expect(await failing(failed('TRELLIS_INVOKE_NO_RESPONDERS'))).toEqual(
      new WitError({ tag: 'connection', val: 'TRELLIS_INVOKE_NO_RESPONDERS' }),
    );
    expect(await failing(failed('TRELLIS_INVOKE_DENIED'))).toEqual(
      new WitError({ tag: 'permission-denied', val: 'TRELLIS_INVOKE_DENIED' }),
    );
    expect(await failing(failed('TRELLIS_INVOKE_TRAP'))).toEqual(new WitError({ tag: 'other', val: 'TRELLIS_INVOKE_TRAP' }));
    expect(await failing(new WitError('the broker said so'))).toEqual(new WitError({ tag: 'other', val: 'the broker said so' }));
  });

  it('trap where the call cannot go on', async () => {
    const ended = new Error('the call has ended');
    expect(await failing(ended)).toBe(ended);
    const trap = new Error('unreachable');
    const handler = messageHandler({
      handle: () => {
        throw trap;
      },
    });
    await expect(handler['handleMessage']!({ subject: 's', body: DATA, replyTo: undefined })).rejects.toBe(trap);
  });
});

describe('a component of both versions', () => {
  const fn = (name: string): WitFunction => ({ name, wireName: name, params: [], result: null, async: false });
  const wit = (name: string, ...functions: string[]): WitInterface => ({ name, functions: functions.map(fn) });
  const types: ComponentTypes = {
    imports: [
      wit('wasmcloud:messaging/types@0.3.0', '[constructor]message', '[method]message.data'),
      wit('wasmcloud:messaging/producer@0.3.0', 'send'),
      wit('wasmcloud:messaging/consumer@0.2.0', 'publish'),
    ],
    exports: [
      wit('wasmcloud:messaging/incoming-handler@0.3.0', 'handle'),
      wit('wasmcloud:messaging/handler@0.2.0', 'handle-message'),
    ],
  };

  it('has each function on the wire once, the older as its own', () => {
    const names = (functions: readonly { instance: string; guestInstance?: string; fn: WitFunction }[]): unknown[] =>
      functions.map(({ instance, fn: { name }, guestInstance }) => [instance, name, guestInstance]);
    expect(names(importedFunctions(types))).toEqual([['wasmcloud:messaging/consumer@0.2.0', 'publish', undefined]]);
    expect(names(exportedFunctions(types))).toEqual([['wasmcloud:messaging/handler@0.2.0', 'handle-message', undefined]]);
    const newer = { ...types, exports: types.exports.slice(0, 1) };
    expect(names(exportedFunctions(newer))).toEqual([
      ['wasmcloud:messaging/handler@0.2.0', 'handle-message', 'wasmcloud:messaging/incoming-handler@0.3.0'],
    ]);
    expect(wireTypes(newer).exports.map(({ name }) => name)).toEqual(['wasmcloud:messaging/handler@0.2.0']);
  });

  it('makes messages without waiting', () => {
    const { asyncImports } = planFor(types);
    expect(asyncImports).not.toContain('wasmcloud:messaging/types@0.3.0#[constructor]message');
    expect(asyncImports).toContain('wasmcloud:messaging/producer@0.3.0#send');
  });
});
