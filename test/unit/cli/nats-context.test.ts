import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readNatsContext } from '../../../src/cli/lattice/nats-context.ts';
import { TrellisError } from '../../../src/errors.ts';

const read = (fields: object) => readNatsContext('lab', JSON.stringify(fields), { HOME: '/home/ada' });
const SECRET = 'hunter2-hunter2';

describe('a context of the nats command', () => {
  it('becomes settings of both connections', () => {
    const { description, settings } = read({
      description: 'the lab',
      url: 'tls://a.example:4222, b.example:4223',
      creds: '~/lab.creds',
      ca: '/etc/ca.pem',
      cert: '/etc/cert.pem',
      key: '/etc/key.pem',
      tls_first: true,
      inbox_prefix: '_INBOX_ops.1',
      color_scheme: 'blue',
      user: '',
    });
    const connection = {
      servers: ['tls://a.example:4222', 'nats://b.example:4223'],
      credsFile: '/home/ada/lab.creds',
      tls: { caFile: '/etc/ca.pem', certFile: '/etc/cert.pem', keyFile: '/etc/key.pem', handshakeFirst: true },
      inboxPrefix: '_INBOX_ops.1',
    };
    expect({ description, settings }).toEqual({ description: 'the lab', settings: { ctl: connection, rpc: connection } });
  });

  it('has defaults as the command has them', () => {
    expect(read({ nkey: '/seed', inbox_prefix: '_INBOX' }).settings).toEqual({
      ctl: { servers: ['nats://127.0.0.1:4222'], seedFile: '/seed' },
      rpc: { servers: ['nats://127.0.0.1:4222'], seedFile: '/seed' },
    });
  });

  it.each(['user', 'password', 'token', 'user_jwt', 'user_seed'])(
    'is refused for its %s, by name and never by value',
    (field) => {
      const error = (() => {
        try {
          return read({ [field]: SECRET });
        } catch (caught) {
          return caught;
        }
      })();
      expect(error).toBeInstanceOf(TrellisError);
      expect((error as TrellisError).code).toBe('TRELLIS_CONTEXT_INVALID');
      expect((error as TrellisError).message).toContain(field);
      expect(JSON.stringify(error) + String(error)).not.toContain(SECRET);
    },
  );

  it('is refused for an inbox that no host would answer to, and for a user of nsc that is not here', () => {
    expect(() => read({ inbox_prefix: 'mine' })).toThrow(/_INBOX/);
    expect(() => read({ nsc: 'nsc://op/acc/user' })).toThrow(/nsc generate creds/);
  });

  it('throws nothing but what it says, whatever the file holds', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          readNatsContext('x', text, {});
        } catch (error) {
          expect((error as TrellisError).code).toBe('TRELLIS_CONTEXT_INVALID');
        }
      }),
    );
  });
});
