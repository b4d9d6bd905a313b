import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CommandClaims, openCommand, signCommand, writeCommandClaims } from '../../../src/trust/control-token.ts';
import { mintDelegation } from '../../../src/trust/delegation.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { ReplayWindow } from '../../../src/trust/replay.ts';
import { RestartFence } from '../../../src/trust/restart-fence.ts';
import { commandDigest } from '../../../src/trust/token.ts';
import { TrustState } from '../../../src/trust/trust-state.ts';
import { TrustedTime } from '../../../src/trust/trusted-time.ts';
import { createCommandVerifier, type ReceivedCommand } from '../../../src/trust/verify-command.ts';
import { LATTICE, ManualClock, MemoryAheadStore, sealClaims } from '../../support/trust.ts';

const issuer = SigningKey.generate('cluster');
const operator = SigningKey.generate('user');
const stranger = SigningKey.generate('user');
const ID = 'AAAAAAAAAAAAAAAAAAAAAA';
const SUBJECT = 'wasmbus.ctl.v1.default.link.put';
const REPLY = '_INBOX_CTL.default.x7Yh.k3';
const BODY = Buffer.from('{"source_id":"a"}');

/** A host that takes signed commands, and an operator who may give those of `nouns`. */
function world(options: { maxEntries?: number; store?: MemoryAheadStore | false; nouns?: readonly string[] | '*' } = {}) {
  const clock = new ManualClock();
  const time = new TrustedTime(clock);
  const trust = new TrustState({ lattice: LATTICE, issuers: [issuer.publicKey], time, skewMs: 5_000 });
  const replay = new ReplayWindow({ clock, maxEntries: options.maxEntries ?? 10, skewMs: 5_000 });
  const store = options.store === false ? undefined : (options.store ?? new MemoryAheadStore());
  const fence = new RestartFence(time, 5_000, store);
  const verify = createCommandVerifier({ lattice: LATTICE, trust, time, replay, fence, skewMs: 5_000 });
  const delegate = (to: string, by = issuer): string =>
    mintDelegation(by, {
      lattice: LATTICE,
      subject: to,
      origins: [],
      targets: [],
      commands: options.nouns ?? ['component', 'link'],
      epoch: 0,
      nowMs: clock.wallMs(),
      lifetimeMs: 3_600_000,
    });
  const delegation = delegate(operator.publicKey);
  const taken = trust.takeDelegation(delegation);
  if ('ok' in taken) throw new Error(taken.detail);
  const { kid } = taken;
  const sign = (more: Partial<Parameters<typeof signCommand>[1]> = {}, key = operator): string =>
    signCommand(key, { lattice: LATTICE, subject: SUBJECT, reply: REPLY, body: BODY, kid, nowMs: clock.wallMs(), ...more });
  const judge = (more: Partial<ReceivedCommand> = {}): string => {
    const verdict = verify({
      token: undefined,
      delegation: undefined,
      subject: SUBJECT,
      reply: REPLY,
      noun: 'link',
      body: BODY,
      ...more,
    });
    return verdict.ok ? 'passes' : `${verdict.code.slice('TRELLIS_VERIFY_'.length)} ${verdict.detail}`;
  };
  return { clock, time, trust, replay, fence, verify, delegate, delegation, kid, sign, judge };
}

describe('a signed command', () => {
  it('passes once, and says who gave it', () => {
    const { verify, sign, judge, delegation } = world();
    const command = { token: sign(), delegation, subject: SUBJECT, reply: REPLY, noun: 'link', body: BODY };
    expect(verify(command)).toMatchObject({ ok: true, claims: { iss: operator.publicKey, sub: SUBJECT, rpl: REPLY } });
    expect(judge(command)).toMatch(/^REPLAYED id [\w-]{22} was used before$/);
    expect(judge({ token: sign() })).toBe('passes');
  });

  it('may be signed by a cluster issuer itself, and may await no answer', () => {
    const { judge, sign } = world();
    expect(judge({ token: sign({ kid: undefined, reply: '' }, issuer), reply: '' })).toBe('passes');
  });

  it('brings its delegation with it where that is new', () => {
    const { judge, sign, delegate, trust } = world();
    const other = SigningKey.generate('user');
    const text = delegate(other.publicKey);
    const kid = 'kid' in openKid(trust, text) ? openKid(trust, text).kid : '';
    const fresh = world();
    expect(fresh.judge({ token: sign({ kid }, other) })).toMatch(/^DELEGATION .* names a delegation that is not known$/);
    expect(fresh.judge({ token: sign({ kid }, other), delegation: text })).toBe('passes');
    // From then on it need not be shown.
    expect(fresh.judge({ token: sign({ kid }, other) })).toBe('passes');
    expect(judge({ token: sign({ kid }, other) })).toBe('passes');
  });

  it('does not count with a delegation by nobody, of another key, or taken back', () => {
    const { judge, sign, delegate, trust, clock, delegation } = world();
    const forged = delegate(stranger.publicKey, SigningKey.generate('cluster'));
    expect(judge({ token: sign({}, stranger) })).toMatch(/^DELEGATION .* names the delegation of another key$/);
    expect(judge({ token: sign({}, stranger), delegation: forged })).toMatch(/^ISSUER delegation signed by/);
    clock.pass(3_605_001);
    expect(judge({ token: sign(), delegation })).toBe('DELEGATION_EXPIRED delegation expired 5001 ms ago');
    expect(trust.size).toBe(1);
  });

  it.each([
    ['link', 'passes'],
    ['component', 'passes'],
    ['host', `SCOPE "${operator.publicKey}" may not give "host" commands`],
    ['', `SCOPE "${operator.publicKey}" may not give "" commands`],
  ])('with the noun "%s" %s', (noun, expected) => {
    const { judge, sign } = world();
    expect(judge({ token: sign(), noun })).toBe(expected);
  });

  it('may have any noun with the right to all of them', () => {
    const { judge, sign } = world({ nouns: '*' });
    expect(judge({ token: sign(), noun: 'host' })).toBe('passes');
  });

  it('of a host with a delegation to speak for everybody does not count', () => {
    const { judge, sign, trust, clock } = world();
    const host = SigningKey.generate('server');
    const scope = { origins: '*', targets: '*' } as const;
    const text = mintDelegation(issuer, {
      lattice: LATTICE,
      subject: host.publicKey,
      ...scope,
      epoch: 0,
      nowMs: clock.wallMs(),
      lifetimeMs: 60_000,
    });
    const { kid } = openKid(trust, text);
    expect(judge({ token: sign({ kid }, host) })).toBe(`SCOPE "${host.publicKey}" may not give "link" commands`);
  });

  it('is all that an operator may sign: neither calls nor answers, whoever they claim to be from', () => {
    const { trust, kid } = world({ nouns: '*' });
    const signer = trust.find(operator.publicKey, kid);
    if ('ok' in signer) return expect.unreachable(signer.detail);
    expect(['echo', '*', '', 'component'].flatMap((id) => [signer.speaksFor(id), signer.answersFor(id)])).not.toContain(true);
    expect(signer.mayCommand('component')).toBe(true);
  });

  it('says of itself who claims to have signed it when it is refused', () => {
    const { verify, sign } = world();
    const command = { token: sign(), delegation: undefined, subject: 'x', reply: REPLY, noun: 'link', body: BODY };
    const verdict = verify(command);
    expect(verdict).toMatchObject({ ok: false, said: { iss: operator.publicKey, org: '' } });
    expect(verdict).toHaveProperty('said.jti', expect.stringMatching(/^[\w-]{22}$/));
  });
});

function openKid(trust: TrustState, text: string): { readonly kid: string } {
  const taken = trust.takeDelegation(text);
  if ('ok' in taken) throw new Error(taken.detail);
  return taken;
}

describe('the order of checks of a command', () => {
  it('is the one that is written down: with everything wrong, each fault mended shows the next', () => {
    const { clock, replay, judge, kid, trust } = world();
    const start = clock.wallMs();
    clock.pass(40_000);
    const now = clock.wallMs();
    replay.insert(operator.publicKey, ID, now + 30_000);
    const host = SigningKey.generate('server');
    const powerless = openKid(
      trust,
      mintDelegation(issuer, {
        lattice: LATTICE,
        subject: host.publicKey,
        origins: '*',
        targets: '*',
        epoch: 0,
        nowMs: now,
        lifetimeMs: 60_000,
      }),
    );
    const claims: Record<string, unknown> = {
      v: 2,
      jti: ID,
      iat: now + 5_001,
      exp: now + 65_002,
      lat: 'elsewhere',
      iss: stranger.publicKey,
      kid: 'B'.repeat(42) + 'A',
      sub: 'h.subject',
      rpl: 'i.reply',
      len: 2,
      dig: 'A'.repeat(43),
    } satisfies CommandClaims;
    const message: { body: Buffer; delegation: string | undefined } = { body: Buffer.from('abc'), delegation: 'dlg2s.x.y' };
    let signer = stranger;
    const steps: [() => void, string][] = [
      [() => undefined, 'LATTICE made for lattice "elsewhere"'],
      [() => (claims.lat = LATTICE), 'BINDING made for subject "h.subject"'],
      [() => (claims.sub = SUBJECT), 'BINDING made for another reply subject'],
      [() => (claims.rpl = REPLY), 'PAYLOAD a body of 3 bytes came, 2 were signed'],
      [() => (claims.len = 3), 'LIFETIME life of 60001 ms, allowed are 1 to 60000'],
      [() => (claims.exp = now + 65_001), "EARLY signed 5001 ms ahead of this host's clock, allowed are 5000"],
      [() => Object.assign(claims, { iat: start - 1, exp: now - 5_001 }), 'EXPIRED expired 5001 ms ago, skew allowed is 5000'],
      [() => (claims.exp = now - 5_000), 'FENCED signed before this host started'],
      [() => (claims.iat = start), 'DELEGATION delegation is malformed or not sound'],
      [() => (message.delegation = undefined), `DELEGATION "${stranger.publicKey}" names a delegation that is not known`],
      [() => (claims.kid = powerless.kid), `DELEGATION "${stranger.publicKey}" names the delegation of another key`],
      [() => (claims.iss = host.publicKey), `SCOPE "${host.publicKey}" may not give "link" commands`],
      [() => Object.assign(claims, { iss: operator.publicKey, kid }), `REPLAYED id ${ID} was used before`],
      [() => (claims.jti = ID.replace(/^A/, 'B')), `SIGNATURE not signed by "${operator.publicKey}"`],
      [() => (signer = operator), 'PAYLOAD digest of the body differs'],
      [() => (claims.dig = commandDigest(message.body)), 'passes'],
    ];
    const said = steps.map(([mend]) => {
      mend();
      const token = sealClaims(signer, writeCommandClaims(claims as unknown as CommandClaims), 'ctl2s');
      return judge({ token, body: message.body, delegation: message.delegation });
    });
    expect(said).toEqual(steps.map(([, expected]) => expected));
  });

  it.each([
    [undefined, 'UNSIGNED no command token'],
    ['', 'UNSIGNED no command token'],
    ['ctl1s.e30.AA', 'FORM token is no command token of version 2'],
    ['ctl2b.e30.AA', 'FORM token is no command token of version 2'],
    ['ctl2s.e30', 'MALFORMED token has two parts, not three'],
    [sealClaims(operator, '{}', 'ctl2s'), 'MALFORMED token has claims that are not in their one spelling'],
  ])('says of the token %s what it is not', (token, expected) => expect(world().judge({ token })).toBe(expected));

  it('refuses when there is no room to remember another id, and when the memory of a restart cannot be written', () => {
    const { judge, sign, clock } = world({ maxEntries: 1 });
    expect(judge({ token: sign() })).toBe('passes');
    expect(judge({ token: sign() })).toBe('REPLAY_FULL no room to remember another id');
    clock.pass(120_000);
    expect(judge({ token: sign() })).toBe('passes');
    const store = new MemoryAheadStore();
    store.raise = () => {
      throw new Error('disk full');
    };
    const broken = world({ store });
    const ahead = broken.sign({ nowMs: broken.clock.wallMs() + 1_000 });
    expect(broken.judge({ token: ahead })).toBe('FAILED the verifier failed: "disk full"');
    expect(broken.judge({ token: ahead })).toMatch(/^REPLAYED/);
  });
});

describe('the time of a command', () => {
  it('is fifteen seconds, and what the clocks may differ by', () => {
    const { judge, sign, clock } = world();
    const [token, late] = [sign(), sign()];
    clock.pass(20_000);
    expect(judge({ token })).toBe('passes');
    clock.pass(1);
    expect(judge({ token: late })).toBe('EXPIRED expired 5001 ms ago, skew allowed is 5000');
  });

  it('must begin: no command has a life of nothing', () => {
    const { judge, clock, kid } = world();
    const nowMs = clock.wallMs();
    const claims = {
      v: 2,
      jti: ID,
      iat: nowMs,
      exp: nowMs,
      lat: LATTICE,
      iss: operator.publicKey,
      kid,
      sub: SUBJECT,
      rpl: REPLY,
      len: BODY.length,
      dig: commandDigest(BODY),
    } as const;
    const sealed = (c: CommandClaims): string => sealClaims(operator, writeCommandClaims(c), 'ctl2s');
    expect(judge({ token: sealed(claims) })).toBe('LIFETIME life of 0 ms, allowed are 1 to 60000');
    expect(judge({ token: sealed({ ...claims, exp: nowMs + 1 }) })).toBe('passes');
  });

  it('ahead of the host is allowed only as far as the host remembers it across a restart', () => {
    const memory = world({ store: false });
    const ahead = (host: typeof memory, ms: number): string => host.sign({ nowMs: host.clock.wallMs() + ms });
    expect(memory.judge({ token: ahead(memory, 50) })).toBe('passes');
    expect(memory.judge({ token: ahead(memory, 51) })).toMatch(/^EARLY signed 51 ms ahead .* allowed are 50$/);

    const store = new MemoryAheadStore();
    const first = world({ store });
    const token = ahead(first, 3_000);
    expect(first.judge({ token })).toBe('passes');
    expect(store.aheadMs).toBeGreaterThanOrEqual(first.clock.wallMs() + 3_000);
    const restarted = world({ store });
    expect(restarted.judge({ token })).toBe('FENCED signed before this host started');
  });

  it('is not before this host started', () => {
    const { judge, sign, clock } = world();
    expect(judge({ token: sign({ nowMs: clock.wallMs() - 1 }) })).toBe('FENCED signed before this host started');
    expect(judge({ token: sign({ nowMs: clock.wallMs() }) })).toBe('passes');
  });
});

describe('the text of a command', () => {
  it('is read back as it was signed, for any plain subjects and any body', () => {
    const subject = fc.stringMatching(/^[a-z]+(\.[A-Za-z0-9_-]+){1,6}$/);
    fc.assert(
      fc.property(subject, fc.option(subject, { nil: '' }), fc.uint8Array({ maxLength: 2_000 }), (sub, rpl, body) => {
        const text = signCommand(operator, { lattice: LATTICE, subject: sub, reply: rpl, body, nowMs: 1_800_000_000_000.9 });
        const opened = openCommand(text);
        if ('fault' in opened) return expect.unreachable();
        expect(opened.claims).toMatchObject({ sub, rpl, len: body.length, dig: commandDigest(body), iat: 1_800_000_000_000 });
        expect(opened.claims.exp - opened.claims.iat).toBe(15_000);
        expect(opened.claims).not.toHaveProperty('kid');
      }),
      { numRuns: 100 },
    );
  });

  it('is not signed for what could not be read back', () => {
    const sign = (subject: string, reply = REPLY, lattice: string = LATTICE): string =>
      signCommand(operator, { lattice, subject, reply, body: BODY, nowMs: 1_800_000_000_000 });
    for (const bad of ['', 'a b', 'a.*', 'a.>', 'a"', '.a', 'a\\b', 'ä']) {
      expect(() => sign(bad), bad).toThrow(expect.objectContaining({ code: 'TRELLIS_TRUST_CLAIMS_INVALID' }));
      if (bad !== '')
        expect(() => sign(SUBJECT, bad), bad).toThrow(expect.objectContaining({ code: 'TRELLIS_TRUST_CLAIMS_INVALID' }));
    }
    expect(() => sign(SUBJECT, REPLY, 'a.b')).toThrow(expect.objectContaining({ code: 'TRELLIS_TRUST_CLAIMS_INVALID' }));
  });

  it('is nothing with another id, digest, thumbprint or subject than there can be', () => {
    const good = {
      v: 2,
      jti: ID,
      iat: 1,
      exp: 2,
      lat: 'default',
      iss: operator.publicKey,
      kid: 'A'.repeat(43),
      sub: SUBJECT,
      rpl: '',
      len: 0,
      dig: 'A'.repeat(43),
    } as const satisfies CommandClaims;
    const read = (claims: CommandClaims): boolean =>
      !('fault' in openCommand(sealClaims(operator, writeCommandClaims(claims), 'ctl2s')));
    expect(read(good)).toBe(true);
    const bad = [
      { jti: 'A' },
      { lat: 'a b' },
      { kid: 'A' },
      { dig: 'A' },
      { sub: 'a.*' },
      { sub: '' },
      { rpl: 'a.>' },
      { len: -1 },
    ];
    for (const change of bad) expect(read({ ...good, ...change }), JSON.stringify(change)).toBe(false);
  });
});
