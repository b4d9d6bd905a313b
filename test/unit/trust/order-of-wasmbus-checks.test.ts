import { describe, expect, it } from 'vitest';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { ReplayWindow } from '../../../src/trust/replay.ts';
import { RestartFence } from '../../../src/trust/restart-fence.ts';
import { TrustState } from '../../../src/trust/trust-state.ts';
import { TrustedTime } from '../../../src/trust/trusted-time.ts';
import { createWasmbusVerifier, type ReceivedWasmbus, type WasmbusAddressee } from '../../../src/trust/verify-wasmbus.ts';
import { openWasmbusToken, signWasmbusClaims, wasmbusCallText, wasmbusHash } from '../../../src/trust/wasmbus-claims.ts';
import { ManualClock, MemoryAheadStore } from '../../support/trust.ts';

const key = SigningKey.generate('cluster');
const stranger = SigningKey.generate('cluster');
const SKEW_MS = 5_000;
const MAX_AGE_MS = 60_000;
const actor = { publicKey: SigningKey.generate('module').publicKey, linkName: '', contractId: '' };
const provider = { publicKey: SigningKey.generate('service').publicKey, linkName: 'main', contractId: 'a:store' };
const other = { publicKey: SigningKey.generate('service').publicKey, linkName: 'second', contractId: 'a:other' };
const to: WasmbusAddressee = { target: 'kv', instance: 'a:store/data@1.0.0', func: 'get', entity: provider, contract: 'a:store' };
const PAYLOAD = Buffer.from('abc');

function setUp(
  settings: { readonly selfCalls?: boolean; readonly unlinkedOrigins?: readonly string[]; readonly maxEntries?: number } = {},
) {
  const clock = new ManualClock(1_800_000_000_000);
  const time = new TrustedTime(clock);
  const store = new MemoryAheadStore();
  const issuers = new TrustState({ lattice: 'default', issuers: [key.publicKey], time, skewMs: SKEW_MS });
  const asked: string[] = [];
  const replay = new ReplayWindow({ clock, maxEntries: settings.maxEntries ?? 10, skewMs: SKEW_MS });
  const verifier = createWasmbusVerifier({
    lattice: 'default',
    signers: {
      find(iss, kid) {
        const found = issuers.find(iss, kid);
        return 'ok' in found ? found : { ...found, speaksFor: (origin) => origin !== other.publicKey };
      },
    },
    time,
    replay,
    links: {
      allows(...names) {
        asked.push(names.join(' '));
        return names[0] !== actor.publicKey || names[1] === 'main';
      },
    },
    fence: new RestartFence(time, SKEW_MS, store),
    unlinkedOrigins: settings.unlinkedOrigins ?? [],
    selfCalls: settings.selfCalls ?? false,
    skewMs: SKEW_MS,
    maxAgeMs: MAX_AGE_MS,
  });
  return { clock, verifier, replay, store, asked };
}

/** What can be put wrong: the message, and the claims where they differ from what the message says. */
interface Draft {
  message: { -readonly [K in keyof ReceivedWasmbus]: ReceivedWasmbus[K] };
  claims: {
    exp: number | undefined;
    nbf: number | undefined;
    jti: string;
    iat: number;
    iss: string;
    sub: string;
    payload: Uint8Array;
  };
  targetUrl: string | undefined;
  originUrl: string | undefined;
  signer: SigningKey;
}

function draftOf(clock: ManualClock): Draft {
  return {
    message: {
      token: '',
      id: 'id-1',
      origin: actor,
      target: provider,
      operation: 'Store.Get',
      contentLength: PAYLOAD.length,
      payload: PAYLOAD,
      subject: 's',
      reply: 'r',
    },
    claims: {
      exp: undefined,
      nbf: undefined,
      jti: 'j',
      iat: clock.wallMs() / 1_000,
      iss: key.publicKey,
      sub: 'id-1',
      payload: PAYLOAD,
    },
    targetUrl: undefined,
    originUrl: undefined,
    signer: key,
  };
}

function sign({ message, claims, targetUrl, originUrl, signer }: Draft): ReceivedWasmbus {
  const call = wasmbusCallText(message.origin, message.target, message.operation);
  const { payload, ...own } = claims;
  const urls = { targetUrl: targetUrl ?? call.targetUrl, originUrl: originUrl ?? call.originUrl };
  return { ...message, token: signWasmbusClaims({ ...own, ...urls, hash: wasmbusHash(call, payload) }, signer)! };
}

const said = (verdict: { readonly ok: boolean; readonly code?: string; readonly detail?: string }): string =>
  verdict.ok ? 'passes' : `${verdict.code?.slice('TRELLIS_VERIFY_'.length)} ${verdict.detail}`;

describe('the order of checks of a message of 0.82', () => {
  it('is the one that is written down: with everything wrong, each fault mended shows the next', () => {
    const { clock, verifier, replay, asked } = setUp();
    clock.pass(100_000);
    const now = clock.wallMs() / 1_000;
    replay.insert(key.publicKey, 'used', clock.wallMs() + 60_000);
    const draft = draftOf(clock);
    const { message, claims } = draft;
    Object.assign(message, {
      id: 'a/b',
      origin: { ...actor, publicKey: 'Mx' },
      target: { ...provider, publicKey: 'Vx' },
      contentLength: 4,
    });
    Object.assign(claims, {
      iss: stranger.publicKey,
      iat: now + 6,
      nbf: now + 6,
      exp: now - 6,
      sub: 'id-2',
      jti: 'j'.repeat(65),
    });
    draft.targetUrl = 'wasmbus://elsewhere';
    draft.originUrl = 'wasmbus://somebody';
    draft.signer = stranger;
    const steps: [() => unknown, string][] = [
      [() => undefined, `ISSUER signed by "${stranger.publicKey}"`],
      [() => (claims.iss = key.publicKey), "EARLY issued 6000 ms ahead of this host's clock, allowed are 5000"],
      [() => (claims.iat = now + 5), 'EARLY not to be accepted before a later time'],
      [() => (claims.nbf = now + 5), 'EXPIRED expired 6000 ms ago, skew allowed is 5000'],
      [() => Object.assign(claims, { exp: undefined, iat: now - 66 }), 'EXPIRED expired 6000 ms ago, skew allowed is 5000'],
      [() => (claims.iat = now - 65), `MALFORMED "${'j'.repeat(57)}..." is no id of a token`],
      [() => (claims.jti = 'used'), 'FIELDS "a/b" is no id of an invocation'],
      [() => (message.id = 'id-1'), 'FIELDS signed for id "id-2", sent with "id-1"'],
      [() => (claims.sub = 'id-1'), 'FIELDS "Mx" is no key of an actor or provider'],
      [
        () => (message.origin = { ...actor, linkName: 'x' }),
        'FIELDS an actor key with a contract or a link, which no signature covers',
      ],
      [
        () => (message.origin = { ...actor, contractId: 'x' }),
        'FIELDS an actor key with a contract or a link, which no signature covers',
      ],
      [() => (message.origin = { ...other, contractId: 'b:c' }), 'FIELDS "Vx" is no key of an actor or provider'],
      [() => (message.target = { ...provider, linkName: 'x' }), 'TARGET made for "wasmbus://elsewhere"'],
      [() => (draft.targetUrl = undefined), 'FIELDS signed by "wasmbus://somebody", sent by another'],
      [() => (draft.originUrl = undefined), 'PAYLOAD 3 bytes came, content_length says 4'],
      [
        () => (message.contentLength = undefined),
        `TARGET sent to "${provider.publicKey}", which this subscription does not serve`,
      ],
      [
        () => (message.target = { ...provider, contractId: 'a:b' }),
        `TARGET sent to "${provider.publicKey}", which this subscription does not serve`,
      ],
      [
        () => (message.target = { ...provider, publicKey: other.publicKey }),
        `TARGET sent to "${other.publicKey}", which this subscription does not serve`,
      ],
      [() => (message.target = provider), 'LINK a provider of "b:c" calls "a:store"'],
      [() => (message.origin = provider), 'LINK the target is named as its own caller'],
      [
        () => (message.origin = { ...other, contractId: 'a:store' }),
        `SCOPE "${key.publicKey}" may not speak for "${other.publicKey}"`,
      ],
      [() => (message.origin = actor), 'REPLAYED id "used" was used before'],
      [() => (claims.jti = 'fresh'), `SIGNATURE not signed by "${key.publicKey}"`],
      [() => (draft.signer = key), 'passes'],
    ];
    const got = steps.map(([mend]) => {
      mend();
      return said(verifier.verify(sign(draft), to));
    });
    expect(got).toEqual(steps.map(([, expected]) => expected));
    expect(asked.at(-1)).toBe(`${actor.publicKey} main a:store/data@1.0.0 kv get`);
  });

  it('begins with the start of this host', () => {
    const { clock, verifier } = setUp();
    const draft = draftOf(clock);
    draft.claims.iat -= 1;
    expect(said(verifier.verify(sign(draft), to))).toBe('FENCED issued before this host started, in whole seconds');
  });

  it('ends on admission: who verified it, size, hash, age, id, room', () => {
    const { clock, verifier, store } = setUp({ maxEntries: 1 });
    const draft = draftOf(clock);
    draft.claims.iat += 2;
    const [first, second] = ['first', 'second'].map((jti) => {
      draft.claims.jti = jti;
      return verifier.verify(sign(draft), to);
    });
    if (first?.ok !== true || second?.ok !== true) return expect.unreachable();
    const issuedMs = clock.wallMs() + 2_000;
    expect(first.pending.claims).toEqual({
      v: 2,
      jti: 'first',
      iat: issuedMs,
      exp: issuedMs + MAX_AGE_MS,
      lat: 'default',
      iss: key.publicKey,
      org: actor.publicKey,
      lnk: 'main',
      tgt: 'kv',
      ins: 'a:store/data@1.0.0',
      fun: 'get',
      sub: 's',
      rpl: 'r',
      len: 3,
      dig: wasmbusHash(wasmbusCallText(actor, provider, 'Store.Get'), PAYLOAD),
    });
    const admit = (...args: Parameters<typeof verifier.admit>): string => said(verifier.admit(...args));
    expect(admit({ ...first.pending } as never, [PAYLOAD])).toBe('FAILED this request did not come from this verifier');
    expect(admit(undefined as never, [PAYLOAD])).toMatch(/^FAILED the verifier failed: /);
    expect(admit(first.pending, [PAYLOAD, PAYLOAD])).toBe('PAYLOAD 6 bytes came, content_length says 3');
    expect(admit(first.pending, [Buffer.from('abd')])).toBe('PAYLOAD hash of the call differs');
    expect(store.aheadMs).toBe(0);
    expect(admit(first.pending, [PAYLOAD.subarray(0, 1), PAYLOAD.subarray(1)])).toBe('passes');
    // An issue time from ahead outlives this process.
    expect(store.aheadMs).toBeGreaterThanOrEqual(issuedMs);
    expect(admit(first.pending, [PAYLOAD])).toBe('REPLAYED id "first" was used before');
    expect(admit(second.pending, [PAYLOAD])).toBe('REPLAY_FULL no room to remember another id');
    clock.pass(2_000 + MAX_AGE_MS + SKEW_MS + 1);
    expect(admit(first.pending, [PAYLOAD])).toBe('EXPIRED expired 5001 ms ago, before its payload was there');
  });

  it.each([
    [provider, actor, 'main'],
    [actor, provider, 'main'],
    [actor, actor, 'default'],
  ] as const)(
    'asks for the link of the provider that is called or calls, and for the default between actors',
    (target, origin, link) => {
      const { clock, verifier, asked } = setUp({ selfCalls: false });
      const draft = draftOf(clock);
      const self = { ...origin, publicKey: SigningKey.generate(origin === actor ? 'module' : 'service').publicKey };
      Object.assign(draft.message, { target, origin: self });
      expect(said(verifier.verify(sign(draft), { ...to, entity: target }))).toBe('passes');
      expect(asked).toEqual([`${self.publicKey} ${link} a:store/data@1.0.0 kv get`]);
    },
  );

  it('asks for no link of an origin that needs none, and for none whose name could not be one', () => {
    const free = setUp({ unlinkedOrigins: [actor.publicKey] });
    expect(said(free.verifier.verify(sign(draftOf(free.clock)), to))).toBe('passes');
    const { clock, verifier, asked } = setUp();
    for (const linkName of ['a b', 'x'.repeat(65)]) {
      const draft = draftOf(clock);
      draft.message.target = { ...provider, linkName };
      expect(said(verifier.verify(sign(draft), { ...to, entity: draft.message.target }))).toBe(
        `LINK "${actor.publicKey}" has no link ${JSON.stringify(linkName.length > 60 ? `${linkName.slice(0, 57)}...` : linkName)} to "kv" for "a:store/data@1.0.0"`,
      );
    }
    expect([...free.asked, ...asked]).toEqual([]);
  });

  it.each([
    ['', 'UNSIGNED no claims'],
    ['a.b', 'MALFORMED token has 2 parts, not three'],
    ['a.b.c', 'FORM token is no Ed25519 token of wasmCloud 0.82'],
  ])('says of the token %j what it is not', (token, expected) => {
    const { clock, verifier } = setUp();
    expect(said(verifier.verify({ ...draftOf(clock).message, token }, to))).toBe(expected);
  });
});

describe('a token of 0.82', () => {
  const draft = draftOf(new ManualClock(1_800_000_000_000));
  const [header, claims, proof] = sign(draft).token.split('.') as [string, string, string];

  it.each([
    [`${header}.${claims}`, 'malformed', 'has 2 parts, not three'],
    [`${header}.${claims}.${proof}.`, 'malformed', 'has 4 parts, not three'],
    [`x.${claims}.${proof}`, 'form', 'is no Ed25519 token of wasmCloud 0.82'],
    [`${header}.${claims}=.${proof}`, 'malformed', 'is not spelt in canonical base64url'],
    [`${header}.${claims}.${proof}=`, 'malformed', 'is not spelt in canonical base64url'],
    [`${header}.${claims}.${Buffer.alloc(62).toString('base64url')}`, 'malformed', 'proof has 62 bytes, a signature has 64'],
    [`${header}.e30.${proof}`, 'malformed', 'claims are not those of an invocation'],
    ['x'.repeat(4_097), 'malformed', '4097 characters, at most 4096 are read'],
    ['x'.repeat(4_096), 'malformed', 'has 1 parts, not three'],
  ])('%#: says what is wrong', (text, fault, reason) => {
    expect(openWasmbusToken(text)).toEqual({ fault, reason });
  });

  it('may say when it begins and ends, in whole seconds, and these are signed', () => {
    const timed = { ...draft, claims: { ...draft.claims, exp: 9, nbf: 0 } };
    const open = openWasmbusToken(sign(timed).token);
    expect(open).toMatchObject({ claims: { exp: 9, nbf: 0 }, signature: { length: 64 } });
    const text = Buffer.from(sign(timed).token.split('.')[1]!, 'base64url').toString();
    expect(text).toMatch(/^\{"exp":9,"jti":"j","iat":1800000000,"iss":"C[A-Z2-7]{55}","sub":"id-1","nbf":0,"wascap":\{/);
  });

  it.each(['exp', 'nbf', 'wascap_revision'])('has nothing but whole seconds or numbers where %s is', (name) => {
    const text = Buffer.from(claims, 'base64url').toString();
    const without = text.replace(',"wascap_revision":3', '');
    const read = (value: string): boolean => {
      const changed = without.replace(/\}$/, `,"${name}":${value}}`);
      return !('fault' in openWasmbusToken(`${header}.${Buffer.from(changed).toString('base64url')}.${proof}`));
    };
    expect(['0', '1', '9007199254740991'].map(read)).toEqual([true, true, true]);
    expect(['-1', '"1"', '1.5', 'null', 'true', '{}'].map(read)).toEqual([false, false, false, false, false, false]);
  });
});
