import { describe, expect, it } from 'vitest';
import { signControl } from '../../../src/control/sign-control.ts';
import { openCommand } from '../../../src/trust/control-token.ts';
import { delegationThumbprint, mintDelegation } from '../../../src/trust/delegation.ts';
import { SigningKey } from '../../../src/trust/nkey.ts';
import { LATTICE, ManualClock } from '../../support/trust.ts';

const clock = new ManualClock();
const message = { subject: 'wasmbus.ctl.v1.default.label.put.NABC', reply: '_INBOX_CTL.x.y', payload: Buffer.from('{}') };

describe('a control message that is signed', () => {
  it('carries its token, and the delegation of an operator', async () => {
    const [issuer, key] = [SigningKey.generate('cluster'), SigningKey.generate('user')];
    const delegation = mintDelegation(issuer, {
      lattice: LATTICE,
      subject: key.publicKey,
      origins: [],
      targets: [],
      commands: '*',
      epoch: 0,
      nowMs: clock.wallMs(),
      lifetimeMs: 60_000,
    });
    let asked = 0;
    const obtain = (): Promise<string> => (asked++ === 0 ? Promise.reject(new Error('not yet')) : Promise.resolve(delegation));
    const sign = signControl({ key, delegation: obtain, lattice: LATTICE, clock });
    // It is asked for when it is first needed, and again until there is one.
    await expect(sign(message)).rejects.toThrow('not yet');
    const entries = Object.fromEntries(await sign(message));
    expect(Object.keys(entries)).toEqual(['Lattice-Command', 'Lattice-Delegation']);
    expect(entries['Lattice-Delegation']).toBe(delegation);
    expect(openCommand(entries['Lattice-Command']!)).toMatchObject({
      claims: { iss: key.publicKey, kid: delegationThumbprint(delegation), sub: message.subject, rpl: message.reply, len: 2 },
    });
    // Each has an id of its own.
    expect(await sign(message)).not.toEqual(await sign(message));
    expect(asked).toBe(2);
  });

  it('by a cluster key names no delegation', async () => {
    const entries = await signControl({ key: SigningKey.generate('cluster'), lattice: LATTICE, clock })(message);
    expect(entries.map(([name]) => name)).toEqual(['Lattice-Command']);
    const opened = openCommand(entries[0]![1]);
    expect('claims' in opened && opened.claims).not.toHaveProperty('kid');
  });
});
