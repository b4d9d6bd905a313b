import fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { judgePublish, judgeSubscribe } from '../../src/nats/subject-match.ts';
import { type JwtTestServer, startJwtServer } from '../support/nats-server.ts';
import { PermittedUser } from '../support/permitted-users.ts';

let jwt: JwtTestServer;
beforeAll(async () => {
  jwt = await startJwtServer();
});
afterAll(async () => {
  await jwt[Symbol.asyncDispose]();
});

// Few tokens, so that entries and subjects meet often.
const token = fc.constantFrom('a', 'b', 'a', 'b', '*');
const literal = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 }).map((tokens) => tokens.join('.'));
const pattern = fc
  .tuple(fc.array(token, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([tokens, full]) => [...tokens, ...(full ? ['>'] : [])].join('.'));
const anything = fc.oneof(pattern, fc.constant('>'));
const queue = fc.constantFrom('q', 'q.a', 'r');
const queued = fc.tuple(anything, fc.constantFrom('q', 'q.*', 'r', 'q.>')).map((parts) => parts.join(' '));
const list = (entry: fc.Arbitrary<string>) => fc.option(fc.array(entry, { minLength: 1, maxLength: 4 }), { nil: undefined });
const rules = (entry: fc.Arbitrary<string>) => fc.record({ allow: list(entry), deny: list(entry) });

describe('the rights of a user', () => {
  it('are judged as the server judges them', async () => {
    const cases = fc.sample(
      fc.record({
        publish: rules(anything),
        // What a refusal for one queue group says beside one for all differs between versions of the server.
        subscribe: fc.record({
          allow: list(fc.oneof({ weight: 4, arbitrary: anything }, { weight: 1, arbitrary: queued })),
          deny: list(anything),
        }),
        subjects: fc.array(literal, { minLength: 12, maxLength: 12 }),
        patterns: fc.array(fc.tuple(fc.oneof(anything, literal), fc.option(queue, { nil: undefined })), {
          minLength: 12,
          maxLength: 12,
        }),
      }),
      { numRuns: 100, seed: 41 },
    );
    let [said, refusals] = [0, 0];
    for (const { publish, subscribe, subjects, patterns } of cases) {
      const user = jwt.rpc.addUser('user', {
        ...(publish.allow === undefined ? {} : { publish: publish.allow }),
        ...(publish.deny === undefined ? {} : { publishDeny: publish.deny }),
        ...(subscribe.allow === undefined ? {} : { subscribe: subscribe.allow }),
        ...(subscribe.deny === undefined ? {} : { subscribeDeny: subscribe.deny }),
      });
      await using client = await PermittedUser.connect(jwt.url, user, '_INBOX');
      const distinct = [...new Set(subjects)];
      const refused = await client.tries({ publish: distinct });
      for (const subject of distinct) {
        const verdict = judgePublish(subject, publish);
        expect(verdict.allowed, JSON.stringify({ publish, subject, verdict })).toBe(!refused.includes(`publish ${subject}`));
        said++;
        if (!verdict.allowed) refusals++;
      }
      const not = new Set<number>();
      const subscriptions = patterns.map(([subject, group], i) =>
        client.nc.subscribe(subject, {
          callback: (error) => void (error !== null && not.add(i)),
          ...(group === undefined ? {} : { queue: group }),
        }),
      );
      await client.nc.flush();
      await sleep(1);
      for (const subscription of subscriptions) subscription.unsubscribe();
      for (const [i, [subject, group]] of patterns.entries()) {
        const verdict = judgeSubscribe(subject, subscribe, group);
        expect(verdict.allowed, JSON.stringify({ subscribe, subject, group, verdict })).toBe(!not.has(i));
        said++;
        if (!verdict.allowed) refusals++;
      }
    }
    // Neither answer is rare, or this test would say little.
    expect(refusals / said).toBeGreaterThan(0.2);
    expect(refusals / said).toBeLessThan(0.8);
  });

  it('say which messages inside an allowed subscription never come', async () => {
    const subscribe = { allow: ['a.>'], deny: ['a.b'] };
    await using client = await PermittedUser.connect(
      jwt.url,
      jwt.rpc.addUser('user', { subscribe: subscribe.allow, subscribeDeny: subscribe.deny }),
      '_INBOX',
    );
    const seen: string[] = [];
    client.nc.subscribe('a.*', { callback: (_error, { subject }) => void seen.push(subject) });
    await client.nc.flush();
    await using other = await PermittedUser.connect(jwt.url, jwt.rpc.addUser('other'), '_INBOX');
    for (const subject of ['a.b', 'a.c']) other.nc.publish(subject);
    await expect.poll(() => seen).toEqual(['a.c']);
    expect(judgeSubscribe('a.*', subscribe)).toEqual({ allowed: true, by: 'a.>', except: ['a.b'] });
  });
});
