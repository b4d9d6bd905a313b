import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { WorkBudget } from '../../src/trust/work-budget.ts';
import { signIssuerSet } from '../../src/trust/issuer-set.ts';
import { SigningKey } from '../../src/trust/nkey.ts';
import { ReplayWindow } from '../../src/trust/replay.ts';
import { RestartFence } from '../../src/trust/restart-fence.ts';
import { TrustState } from '../../src/trust/trust-state.ts';
import { TrustedTime } from '../../src/trust/trusted-time.ts';
import { PendingInvocation } from '../../src/trust/verify-request.ts';
import { createWasmbusVerifier, type ReceivedWasmbus, type WasmbusVerifierOptions } from '../../src/trust/verify-wasmbus.ts';
import {
  newWasmbusTokenId,
  signWasmbusClaims,
  wasmbusCallText,
  type WasmbusClaims,
  wasmbusHash,
} from '../../src/trust/wasmbus-claims.ts';
import { ManualClock, MemoryAheadStore } from '../support/trust.ts';
import { VECTOR, type Party } from '../support/wasmbus.ts';

const SKEW_MS = 5_000;
const MAX_AGE_MS = 60_000;
const START_MS = 1_800_000_000_000;
const TO = {
  target: 'kv',
  instance: 'wasmcloud:testoperation/test-operation@1.0.0',
  func: 'handle-test',
  entity: VECTOR.target,
  contract: 'wasmcloud:testoperation',
};
const PAYLOAD = Buffer.from('payload of the call');
const actorKey = SigningKey.generate('module').publicKey;
const ACTOR: Party = { publicKey: actorKey, linkName: '', contractId: '' };
const PROVIDER: Party = {
  publicKey: SigningKey.generate('service').publicKey,
  linkName: 'default',
  contractId: 'wasmcloud:testoperation',
};

/** One issuer, one host that serves {@link TO}, on a clock of the test's own, 10 s after its start. */
function createWorld(settings: Partial<WasmbusVerifierOptions> = {}, to: { readonly entity: Party } = TO) {
  const clock = new ManualClock(START_MS);
  const key = SigningKey.generate('cluster');
  const time = new TrustedTime(clock);
  const verifier = createWasmbusVerifier({
    lattice: 'default',
    signers: new TrustState({ lattice: 'default', issuers: [key.publicKey], time, skewMs: SKEW_MS }),
    time,
    replay: new ReplayWindow({ clock, maxEntries: 10_000, skewMs: SKEW_MS }),
    links: {
      allows: (origin, link, instance, target) =>
        [VECTOR.origin.publicKey, PROVIDER.publicKey].includes(origin) &&
        link === 'default' &&
        instance === TO.instance &&
        target === TO.target,
    },
    fence: new RestartFence(time, SKEW_MS, new MemoryAheadStore()),
    unlinkedOrigins: [],
    selfCalls: false,
    skewMs: SKEW_MS,
    maxAgeMs: MAX_AGE_MS,
    ...settings,
  });
  clock.pass(10_000);
  const addressee = { ...TO, ...to };

  /** A message, signed as 0.82 signs; then changed, which nobody signed. */
  function message(call: Partial<ReceivedWasmbus> = {}, claims: Partial<WasmbusClaims> = {}, signer = key): ReceivedWasmbus {
    const received: ReceivedWasmbus = {
      token: '',
      id: VECTOR.id,
      origin: VECTOR.origin,
      target: addressee.entity,
      operation: VECTOR.operation,
      contentLength: (call.payload ?? PAYLOAD).length,
      payload: PAYLOAD,
      subject: 's',
      reply: '_INBOX.r',
      ...call,
    };
    const text = wasmbusCallText(received.origin, received.target, received.operation);
    const token = signWasmbusClaims(
      {
        exp: undefined,
        jti: newWasmbusTokenId(),
        iat: Math.floor(clock.wallMs() / 1_000),
        iss: key.publicKey,
        sub: received.id,
        nbf: undefined,
        targetUrl: text.targetUrl,
        originUrl: text.originUrl,
        hash: wasmbusHash(text, received.payload),
        ...claims,
      },
      signer,
    )!;
    return { ...received, token };
  }

  /** The code of the refusal, or `ran`. `payload`: what the object store gave. */
  function run(received: ReceivedWasmbus, payload: Uint8Array = received.payload): string {
    const verdict = verifier.verify(received, addressee);
    if (!verdict.ok) return verdict.code;
    const admitted = verifier.admit(verdict.pending, [payload]);
    return admitted.ok ? 'ran' : admitted.code;
  }

  return { clock, key, verifier, message, run };
}

describe('what 0.82 senders send is accepted', () => {
  it('from an actor and from a provider, inline, empty and chunked, without content_length', () => {
    const { run, message } = createWorld();
    expect(run(message())).toBe('ran');
    expect(run(message({ origin: PROVIDER }))).toBe('ran');
    expect(run(message({ payload: Buffer.alloc(0) }))).toBe('ran');
    const chunked = message();
    expect(run({ ...chunked, payload: Buffer.alloc(0) }, PAYLOAD)).toBe('ran');
    expect(run(message({ contentLength: undefined }))).toBe('ran');
  });

  it('from an actor to an actor', () => {
    const { run, message } = createWorld({}, { entity: ACTOR });
    expect(run(message())).toBe('ran');
  });

  it('with the three forms of ids', () => {
    const { run, message } = createWorld();
    for (const id of [
      '018dbf3c-0a4b-7c00-8000-000000000002',
      '018dbf3c0a4b7c008000000000000003',
      '3b0f7e5e-2f6a-4f0e-9d0c-5f2f0f1e2d3c',
    ])
      expect(run(message({ id }))).toBe('ran');
  });
});

describe('issuer and signature', () => {
  it('ENV-01 ENV-04 ENV-05 ENV-06 refuses no token, a random signature, an unknown issuer, another key', () => {
    const { run, message } = createWorld();
    const stranger = SigningKey.generate('cluster');
    expect(run({ ...message(), token: '' })).toBe('TRELLIS_VERIFY_UNSIGNED');
    const good = message().token;
    const random = `${good.slice(0, good.lastIndexOf('.'))}.${Buffer.alloc(64, 7).toString('base64url')}`;
    expect(run({ ...message(), token: random })).toBe('TRELLIS_VERIFY_SIGNATURE');
    expect(run(message({}, { iss: stranger.publicKey }, stranger))).toBe('TRELLIS_VERIFY_ISSUER');
    expect(run(message({}, {}, stranger))).toBe('TRELLIS_VERIFY_SIGNATURE');
  });

  it('ENV-07 refuses an issuer of another kind', () => {
    const { run, message } = createWorld();
    const account = SigningKey.generate('account');
    expect(run(message({}, { iss: account.publicKey }, account))).toBe('TRELLIS_VERIFY_ISSUER');
  });
});

describe('times', () => {
  it('Z6 gives a token without expiry a limited life, to the millisecond', () => {
    const { run, message, clock } = createWorld();
    const [early, late] = [message(), message()];
    clock.pass(MAX_AGE_MS + SKEW_MS);
    expect(run(early)).toBe('ran');
    clock.pass(1);
    expect(run(late)).toBe('TRELLIS_VERIFY_EXPIRED');
  });

  it('ENV-11 ENV-12 honours exp and nbf where they are, and no iat from the future', () => {
    const { run, message, clock } = createWorld();
    const now = Math.floor(clock.wallMs() / 1_000);
    expect(run(message({}, { exp: now - 6 }))).toBe('TRELLIS_VERIFY_EXPIRED');
    expect(run(message({}, { exp: now - 5 }))).toBe('ran');
    expect(run(message({}, { exp: now + 1_000_000, iat: now - 9 }))).toBe('ran');
    expect(run(message({}, { nbf: now + 6 }))).toBe('TRELLIS_VERIFY_EARLY');
    expect(run(message({}, { nbf: now + 5 }))).toBe('ran');
    expect(run(message({}, { iat: now + 6 }))).toBe('TRELLIS_VERIFY_EARLY');
    expect(run(message({}, { iat: now + 5 }))).toBe('ran');
  });

  it('Z6 refuses what was issued before this host started', () => {
    const { run, message } = createWorld();
    expect(run(message({}, { iat: START_MS / 1_000 - 1 }))).toBe('TRELLIS_VERIFY_FENCED');
    expect(run(message({}, { iat: START_MS / 1_000 }))).toBe('ran');
  });

  it('judges the age again when a payload took its time', () => {
    const { verifier, message, clock } = createWorld();
    const verdict = verifier.verify(message(), TO);
    clock.pass(MAX_AGE_MS + SKEW_MS + 1);
    expect(verdict.ok && verifier.admit(verdict.pending, [PAYLOAD])).toMatchObject({ code: 'TRELLIS_VERIFY_EXPIRED' });
  });
});

describe('issuers', () => {
  it('CRD-12 are asked again when a payload took its time', () => {
    const clock = new ManualClock(START_MS);
    const [key, next] = [SigningKey.generate('cluster'), SigningKey.generate('cluster')];
    const state = new TrustState({
      lattice: 'default',
      issuers: [key.publicKey],
      time: new TrustedTime(clock),
      skewMs: SKEW_MS,
    });
    const { verifier, message } = createWorld({ signers: state });
    const verdict = verifier.verify(message({}, { iss: key.publicKey }, key), TO);
    const common = { v: 2, iat: START_MS, lat: 'default', iss: key.publicKey, epc: 1, min: 0 } as const;
    expect(state.takeIssuerSet(signIssuerSet(key, { ...common, act: next.publicKey, set: next.publicKey }))).toBe('taken');
    expect(verdict.ok && verifier.admit(verdict.pending, [PAYLOAD])).toMatchObject({ code: 'TRELLIS_VERIFY_ISSUER' });
  });
});

describe('replay', () => {
  it('Z6 runs one token once, whatever is changed of what nobody signed', () => {
    const { run, message, clock } = createWorld();
    const captured = message();
    expect(run(captured)).toBe('ran');
    expect(run(captured)).toBe('TRELLIS_VERIFY_REPLAYED');
    expect(run({ ...captured, contentLength: undefined })).toBe('TRELLIS_VERIFY_REPLAYED');
    clock.pass(MAX_AGE_MS + SKEW_MS);
    expect(run(captured)).toBe('TRELLIS_VERIFY_REPLAYED');
    clock.pass(1);
    expect(run(captured)).toBe('TRELLIS_VERIFY_EXPIRED');
  });

  it('runs one of two copies that are both on their way', () => {
    const { verifier, message } = createWorld();
    const copies = [1, 2].map(() => message({}, { jti: 'thesame' }));
    const pending = copies.map((copy) => verifier.verify(copy, TO));
    const codes = pending.map((verdict) => {
      const admitted = verdict.ok ? verifier.admit(verdict.pending, [PAYLOAD]) : verdict;
      return admitted.ok ? 'ran' : admitted.code;
    });
    expect(codes).toEqual(['ran', 'TRELLIS_VERIFY_REPLAYED']);
  });

  it('remembers nothing that a stranger sent', () => {
    const { run, message } = createWorld();
    const good = message();
    const forged = { ...good, token: `${good.token.slice(0, -86)}${Buffer.alloc(64, 1).toString('base64url')}` };
    expect(run(forged)).toBe('TRELLIS_VERIFY_SIGNATURE');
    expect(run(good)).toBe('ran');
  });
});

describe('fields and target', () => {
  it('ENV-15 ENV-16 ENV-17 Z5 hashes the whole payload always: changed, emptied, shortened, planted', () => {
    const { run, message } = createWorld();
    const planted = Buffer.from('planted in the store');
    expect(run({ ...message(), payload: Buffer.from('Payload of the call') })).toBe('TRELLIS_VERIFY_PAYLOAD');
    expect(run({ ...message(), payload: Buffer.alloc(0), contentLength: 0 })).toBe('TRELLIS_VERIFY_PAYLOAD');
    expect(run({ ...message(), payload: Buffer.alloc(0), contentLength: undefined })).toBe('TRELLIS_VERIFY_PAYLOAD');
    expect(run({ ...message(), payload: PAYLOAD.subarray(1) })).toBe('TRELLIS_VERIFY_PAYLOAD');
    expect(run({ ...message(), payload: Buffer.alloc(0), contentLength: planted.length }, planted)).toBe(
      'TRELLIS_VERIFY_PAYLOAD',
    );
    expect(run({ ...message(), payload: Buffer.alloc(0), contentLength: 921_601 }, Buffer.alloc(921_601))).toBe(
      'TRELLIS_VERIFY_PAYLOAD',
    );
    expect(run(message({ contentLength: PAYLOAD.length + 1 }))).toBe('TRELLIS_VERIFY_PAYLOAD');
  });

  it('Z6 Z10 ties the id, by which chunks are found, to the token', () => {
    const { run, message } = createWorld();
    expect(run({ ...message(), id: '018dbf3c-0a4b-7c00-8000-00000000ffff' })).toBe('TRELLIS_VERIFY_FIELDS');
    for (const id of ['', 'a/b', '*', 'x'.repeat(65)])
      expect(run(message({ id: id || 'x' }, { sub: id || 'y' }))).not.toBe('ran');
  });

  it('ENV-19 Z7 refuses a token for another actor, another link, another operation', () => {
    const { run, message } = createWorld();
    const other = { ...VECTOR.target, publicKey: SigningKey.generate('service').publicKey };
    expect(run(message({ target: other }))).toBe('TRELLIS_VERIFY_TARGET');
    expect(run({ ...message({ target: other }), target: VECTOR.target })).toBe('TRELLIS_VERIFY_TARGET');
    expect(run(message({ target: { ...VECTOR.target, linkName: 'other' } }))).toBe('TRELLIS_VERIFY_TARGET');
    expect(run({ ...message(), operation: 'TestOperation.HandleOther' })).toBe('TRELLIS_VERIFY_TARGET');
    const actors = createWorld({}, { entity: ACTOR });
    const foreign = { publicKey: SigningKey.generate('module').publicKey, linkName: '', contractId: '' };
    expect(actors.run(actors.message({ target: foreign }))).toBe('TRELLIS_VERIFY_TARGET');
  });

  it('ENV-18 Z3 refuses an origin that was changed, and one that no link names', () => {
    const { run, message } = createWorld();
    const stranger = { publicKey: SigningKey.generate('module').publicKey, linkName: '', contractId: '' };
    expect(run({ ...message(), origin: stranger })).toBe('TRELLIS_VERIFY_FIELDS');
    expect(run(message({ origin: stranger }))).toBe('TRELLIS_VERIFY_LINK');
    expect(run(message({ origin: { ...PROVIDER, contractId: 'wasmcloud:other' } }))).toBe('TRELLIS_VERIFY_LINK');
    const unlinked = createWorld({ unlinkedOrigins: [stranger.publicKey] });
    expect(unlinked.run(unlinked.message({ origin: stranger }))).toBe('ran');
  });

  it('Z9 refuses an actor key with contract or link, which no signature covers', () => {
    const { run, message } = createWorld();
    for (const extra of [{ contractId: 'wasmcloud:httpserver' }, { linkName: 'default' }]) {
      const origin = { ...VECTOR.origin, ...extra };
      expect(run({ ...message(), origin })).toBe('TRELLIS_VERIFY_FIELDS');
      expect(run(message({ origin }))).toBe('TRELLIS_VERIFY_FIELDS');
    }
    const actors = createWorld({}, { entity: ACTOR });
    expect(actors.run({ ...actors.message(), target: { ...ACTOR, contractId: 'a:b' } })).toBe('TRELLIS_VERIFY_FIELDS');
  });

  it('Z9 no shift of a boundary in URL or hash gives a second call', () => {
    const { run, message } = createWorld();
    const shifts: Partial<Party>[] = [
      { contractId: 'wasmcloud', linkName: 'testoperation/default' },
      { contractId: 'wasmcloud/testoperation' },
      { contractId: 'WASMCLOUD:testoperation' },
      { linkName: 'DEFAULT' },
      { publicKey: `${VECTOR.target.publicKey}/TestOperation.HandleTest` },
    ];
    for (const shift of shifts) {
      const good = message();
      expect(run({ ...good, target: { ...good.target, ...shift } })).not.toBe('ran');
      // Also when the sender, who holds a key, signs the shifted form himself.
      expect(run(message({ target: { ...VECTOR.target, ...shift } }))).not.toBe('ran');
    }
    const payload = Buffer.from('/xP');
    const shifted = message({ operation: 'x', payload });
    expect(run({ ...shifted, operation: 'x/x', payload: Buffer.from('P'), contentLength: 1 })).not.toBe('ran');
  });

  it('lets a component be named as its own caller only by setting', () => {
    const setting = (selfCalls: boolean): string => {
      const { run, message } = createWorld({ selfCalls }, { entity: ACTOR });
      return run(message({ origin: ACTOR }));
    };
    expect(setting(false)).toBe('TRELLIS_VERIFY_LINK');
    expect(setting(true)).toBe('ran');
  });

  it('Z8 answers empty fields and short signatures with a refusal', () => {
    const { run, message } = createWorld();
    const empty = { publicKey: '', linkName: '', contractId: '' };
    expect(run({ ...message(), origin: empty, target: empty, operation: '', id: '' })).toBe('TRELLIS_VERIFY_FIELDS');
    expect(run({ ...message(), token: message().token.slice(0, -1) })).toBe('TRELLIS_VERIFY_MALFORMED');
    expect(run({ ...message(), token: 'a.b.c' })).toBe('TRELLIS_VERIFY_FORM');
  });
});

describe('the verifier', () => {
  it('LEK-07 says of a refused token what names it, and only if that is printable', () => {
    const { verifier, message, key } = createWorld();
    const jti = newWasmbusTokenId();
    const refusal = (received: ReceivedWasmbus) => verifier.verify(received, { ...TO, target: 'elsewhere' });
    expect(refusal(message({}, { jti }))).toMatchObject({
      code: 'TRELLIS_VERIFY_LINK',
      said: { jti, iss: key.publicKey, org: VECTOR.origin.publicKey },
    });
    for (const odd of ['a b', 'a/b', 'j'.repeat(65)]) {
      expect(refusal(message({}, { jti: odd }))).toMatchObject({ code: 'TRELLIS_VERIFY_MALFORMED' });
      expect(refusal(message({}, { jti: odd }))).not.toHaveProperty('said');
    }
    expect(refusal(message({ origin: { ...VECTOR.origin, publicKey: 'M\n' } }))).not.toHaveProperty('said');
  });

  it('bounds what failed checks cost, and lets callers in again when the flood is over', () => {
    const budgetClock = new ManualClock(START_MS);
    const budget = new WorkBudget(new TrustedTime(budgetClock), 2, 2);
    const { run, message, key } = createWorld({ budget });
    const forged = (): ReceivedWasmbus => {
      const good = message();
      return { ...good, token: `${good.token.slice(0, -86)}${key.sign(Buffer.from('other')).toString('base64url')}` };
    };
    expect(run(forged())).toBe('TRELLIS_VERIFY_SIGNATURE');
    expect(run(message())).toBe('ran');
    expect(run({ ...message(), payload: Buffer.from('Payload of the call') })).toBe('TRELLIS_VERIFY_PAYLOAD');
    expect(run(message())).toBe('TRELLIS_VERIFY_FLOODED');
    // What needs no check is refused for its own reason.
    expect(run({ ...message(), token: '' })).toBe('TRELLIS_VERIFY_UNSIGNED');
    budgetClock.pass(500);
    expect(run(message())).toBe('ran');
  });

  it('admits only what it let in itself', () => {
    const [mine, other] = [createWorld(), createWorld()];
    const verdict = other.verifier.verify(other.message(), TO);
    expect(verdict.ok && mine.verifier.admit(verdict.pending, [PAYLOAD])).toMatchObject({ code: 'TRELLIS_VERIFY_FAILED' });
    const claims = verdict.ok ? verdict.pending.claims : undefined;
    const made = new PendingInvocation({}, 'token', claims!, PAYLOAD);
    expect(mine.verifier.admit(made, [PAYLOAD])).toMatchObject({ code: 'TRELLIS_VERIFY_FAILED' });
  });

  it('refuses when a part of it fails, and never throws', () => {
    const broken = (): never => {
      throw new Error('broken');
    };
    const { run, message } = createWorld({ links: { allows: broken } });
    expect(run(message())).toBe('TRELLIS_VERIFY_FAILED');
  });

  it('ENV-10 runs nothing of which a bit was changed', () => {
    const { run, message } = createWorld();
    const good = message();
    const texts = ['token', 'id', 'operation'] as const;
    fc.assert(
      fc.property(fc.constantFrom(...texts), fc.nat(), fc.integer({ min: 0, max: 6 }), (field, at, bit) => {
        const bytes = Buffer.from(good[field]);
        bytes[at % bytes.length]! ^= 1 << bit;
        expect(run({ ...good, [field]: bytes.toString('latin1') })).not.toBe('ran');
      }),
      { numRuns: 1_500 },
    );
    fc.assert(
      fc.property(
        fc.constantFrom('origin' as const, 'target' as const),
        fc.constantFrom('publicKey' as const, 'linkName' as const, 'contractId' as const),
        fc.string({ maxLength: 60 }),
        (side, field, text) => {
          fc.pre(good[side][field] !== text);
          expect(run({ ...good, [side]: { ...good[side], [field]: text } })).not.toBe('ran');
        },
      ),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (payload) => {
        expect(run({ ...good, payload, contentLength: payload.length })).not.toBe('ran');
      }),
      { numRuns: 300 },
    );
    expect(run(good)).toBe('ran');
  });
});
