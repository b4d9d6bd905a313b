import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, headers as natsHeaders, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { explainSubject, parseExplanations } from '../../src/control/explain.ts';
import { latticeName } from '../../src/ids.ts';
import { newTokenId } from '../../src/trust/signer.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { Attacker, ShiftedClock, VICTIM } from '../support/attacker.ts';
import { startTestLattice, type TestLattice } from '../support/lattice.ts';
import { runProgram } from '../support/program.ts';

type Data = Record<string, unknown>;
interface CloudEvent {
  readonly subject: string;
  readonly event: Data & { readonly data: Data };
}
const LATTICE = latticeName('default');
const REFUSED = 'wasmbus.evt.default.audit_refused';

/** How many refusals of a code the records stand for. */
function countOf(code: string, records: readonly Data[]): number {
  const mine = records.filter((record) => record['code'] === code && record['kind'] !== 'control' && record['of'] !== 'control');
  return mine.reduce((sum, record) => sum + (record['kind'] === 'summary' ? Number(record['count']) : 1), 0);
}

describe('the audit of a host', () => {
  const dir = mkdtempSync(join(tmpdir(), 'trellis-audit-'));
  const file = join(dir, 'audit.jsonl');
  const clock = new ShiftedClock();
  let test: TestLattice;
  let attacker: Attacker;
  let nc: NatsConnection;
  const events: CloudEvent[] = [];

  beforeAll(async () => {
    test = await startTestLattice({ audit: { file, maxPerSecond: 10 } }, clock);
    attacker = new Attacker(test);
    nc = await connect({ servers: test.lattice.server.url });
    nc.subscribe('wasmbus.evt.>', {
      callback: (_error, message) => void events.push({ subject: message.subject, event: message.json() }),
    });
    await nc.flush();
  });
  afterAll(async () => {
    await nc.close();
    await test[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  });

  const inFile = (): Data[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Data);
  const withId = (id: string | undefined) => events.filter(({ event }) => event.data['correlation'] === id);

  it('has one record of a refusal in both places, with who, what, code and the id that the caller got', async () => {
    const key = SigningKey.generate('cluster');
    const reply = attacker.reply();
    const { correlation } = await attacker.send({ token: attacker.token(key, clock, { rpl: reply }), reply });
    await expect.poll(() => withId(correlation).length).toBe(1);
    const [{ subject, event }] = withId(correlation) as [CloudEvent];
    const { data, time, id, ...rest } = event;
    expect(subject).toBe(REFUSED);
    expect(rest).toEqual({
      specversion: '1.0',
      type: 'com.trellis.audit.refused',
      source: test.lattice.host.id,
      datacontenttype: 'application/json',
    });
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(data).toEqual({
      time,
      host: test.lattice.host.id,
      lattice: 'default',
      kind: 'refused',
      code: 'TRELLIS_VERIFY_ISSUER',
      detail: expect.stringContaining(key.publicKey.slice(0, 20)),
      origin: 'trellis-cli',
      proven: false,
      signer: key.publicKey,
      component: VICTIM.target,
      operation: `${VICTIM.instance}/${VICTIM.func}`,
      correlation,
    });
    await expect.poll(() => inFile().filter((line) => line['correlation'] === correlation)).toEqual([data]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('has a record of each control command', async () => {
    await test.caller.describe('echo', 20_000);
    await expect.poll(() => events.at(-1)?.event.data['operation']).toBe('component.describe');
    expect(events.at(-1)).toMatchObject({
      subject: 'wasmbus.evt.default.audit_control',
      event: { type: 'com.trellis.audit.control', data: { kind: 'control', code: 'ok', component: 'echo' } },
    });
  });

  it('has none of a call that is fine', async () => {
    const before = inFile().length;
    const call = {
      target: 'echo',
      instance: VICTIM.instance,
      func: VICTIM.func,
      params: Buffer.from('026869', 'hex'),
      timeoutMs: 5_000,
    };
    for (let i = 0; i < 20; i++) await test.caller.call(call);
    await test.caller.member.ctl.flush();
    expect(inFile()).toHaveLength(before);
  });

  it('DOS-08 counts 20,000 refusals exactly, in few records', async () => {
    const codes = ['TRELLIS_VERIFY_UNSIGNED', 'TRELLIS_VERIFY_FORM', 'TRELLIS_VERIFY_MALFORMED'] as const;
    const counters = async (): Promise<number[]> =>
      Promise.all(codes.map((code) => test.metric('trellis_denials_total', `code="${code}"`)));
    const before = inFile().length;
    const startedMs = performance.now();
    const [unsigned = 0, form = 0, malformed = 0] = await counters();
    const canary = 'canary-in-a-payload-and-in-a-token';
    for (let i = 0; i < 20_000; i++) {
      const headers = natsHeaders();
      headers.append('source-id', 'flooder');
      if (i % 4 === 1) headers.append('Lattice-Invocation', `${canary}.${i}`);
      nc.publish(attacker.subject, canary, { reply: `_INBOX.flood.${i}`, headers });
      if (i % 2_000 === 0) await nc.flush();
    }
    await nc.flush();
    await expect
      .poll(async () => (await counters()).reduce((sum, count) => sum + count, 0), { timeout: 120_000 })
      .toBe(unsigned + form + malformed + 20_000);
    const counted = await counters();
    // The summary of the last second follows within one.
    const all = () => events.map(({ event }) => event.data);
    const sums = (records: readonly Data[]) => codes.map((code) => countOf(code, records));
    await expect.poll(() => sums(all())).toEqual(counted);
    await expect.poll(() => sums(inFile())).toEqual(counted);
    // Ten of each code a second, and a summary.
    const seconds = Math.ceil((performance.now() - startedMs) / 1_000) + 1;
    expect(inFile().length - before).toBeLessThanOrEqual(codes.length * 11 * seconds);
    expect(JSON.stringify(all())).not.toContain(canary);
    expect(readFileSync(file, 'utf8')).not.toContain(canary);
    expect(await test.metric('trellis_audit_lost_total', 'sink="file"')).toBe(0);
  });

  it('explains a refusal to who asks on the control connection, and only to an inbox', async () => {
    const reply = attacker.reply();
    const { correlation = '' } = await attacker.send({
      token: attacker.token(SigningKey.generate('cluster'), clock, { rpl: reply }),
      reply,
    });
    expect(await test.caller.explain(correlation, 2_000)).toMatchObject([
      {
        host: test.lattice.host.id,
        code: 'TRELLIS_VERIFY_ISSUER',
        detail: expect.stringContaining('signed by'),
        meaning: expect.stringContaining('.'),
        remedy: expect.stringContaining('.'),
        origin: 'trellis-cli',
        proven: false,
      },
    ]);
    const heard: string[] = [];
    nc.subscribe('>', { callback: (_error, message) => void heard.push(message.subject) });
    nc.publish(explainSubject(LATTICE, correlation), '', { reply: 'wasmbus.ctl.v1.default.host.stop' });
    expect(await test.caller.explain(newTokenId(), 300)).toEqual([]);
    expect(heard).not.toContain('wasmbus.ctl.v1.default.host.stop');
  });

  it('explains on the command line, from the lattice and from the file, and knows when nobody knows', async () => {
    const { correlation = '' } = await attacker.send({ token: 'no token at all' });
    const config = ['--config', test.lattice.callerConfigFile];
    const run = (...args: string[]) => runProgram('cli', ['explain', ...args]);
    const asked = await run(...config, '--', correlation);
    expect([asked.code, asked.stderr]).toEqual([0, '']);
    expect(asked.stdout).toMatch(/refused by +TRELLIS_VERIFY_FORM\n/);
    expect(asked.stdout).toContain('meaning');
    await expect.poll(() => readFileSync(file, 'utf8').includes(correlation)).toBe(true);
    const read = await run('--file', file, '--output', 'json', '--', correlation);
    expect(JSON.parse(read.stdout)).toMatchObject({
      correlation,
      refusals: [{ code: 'TRELLIS_VERIFY_FORM', meaning: expect.any(String), remedy: expect.any(String) }],
    });
    for (const args of [
      [...config, '--wait-ms', '200'],
      ['--file', file],
    ]) {
      const unknown = await run(...args, '--output', 'json', '--', newTokenId());
      expect(unknown.code).toBe(3);
      expect(JSON.parse(unknown.stdout)).toMatchObject({ error: { code: 'TRELLIS_REFUSAL_UNKNOWN' } });
    }
    expect((await run('not-an-id')).code).toBe(2);
    expect((await run('--help')).stdout).toContain('$ trellis explain ');
  });
});

it('an answer to explain that is none explains nothing', () => {
  for (const text of ['', 'null', '{}', '[1,null,"x",{"code":"TRELLIS_VERIFY_LINK"}]', '[{"time":1,"host":2,"code":3}]'])
    expect(parseExplanations(Buffer.from(text))).toEqual([]);
});
