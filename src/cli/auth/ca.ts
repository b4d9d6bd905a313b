import type { Command } from 'commander';
import { createAuthority, issueCertificate } from '../../auth/authority.ts';
import { parseLifetime } from '../../auth/lifetime.ts';
import { TrellisError } from '../../errors.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { idsOf } from './store-option.ts';

/** `trellis auth ca`: a small certificate authority, for lattices that have no other. */
export function registerCa(auth: Command): void {
  const ca = auth.command('ca').description('Make certificates where there is no public key infrastructure to take them from.');
  ca.command('init')
    .description('Make a certificate authority: ca.pem and its key in a folder.')
    .requiredOption('--out <dir>', 'folder of the authority')
    .option('--name <name>', 'its name, as certificates show it', 'Trellis lattice CA')
    .option('--expires <lifetime>', 'how long it counts', '3650d')
    .addHelpText('after', examples('trellis auth ca init --out pki'))
    .action((flags: { out: string; name: string; expires: string }, command: Command) => {
      const nowMs = Date.now();
      const lifetimeMs = lifetimeOf(flags.expires);
      const files = createAuthority(flags.out, { name: flags.name, lifetimeMs, nowMs });
      const expires = new Date(nowMs + lifetimeMs).toISOString();
      outputOf(command).result({ ...files, expires }, (print) => {
        for (const line of fieldLines([
          ['authority', files.certFile],
          ['key', `${files.keyFile} (mode 0600)`],
          ['ends', expires],
        ]))
          print(line);
        print('');
        print(
          'Whoever has the key can pass for every server of the lattice: keep it where certificates are made, and nowhere else.',
        );
      });
    });
  ca.command('issue')
    .description('Make a certificate for a server, or for a client that has to show one, with a new key.')
    .argument('<name>', 'its files are NAME.pem and NAME-key.pem')
    .requiredOption('--ca <dir>', 'folder of the authority; the files go there')
    .option('--dns <names>', 'names it is for, separated by commas')
    .option('--ip <addresses>', 'addresses it is for, separated by commas')
    .option('--expires <lifetime>', 'how long it counts', '365d')
    .option('--force', 'replace a certificate of this name')
    .addHelpText(
      'after',
      examples(
        'trellis auth ca issue nats --ca pki --dns nats.example',
        'trellis auth ca issue nats --ca pki --dns localhost --ip 127.0.0.1 --expires 90d --force',
      ),
    )
    .action((name: string, flags: IssueFlags, command: Command) => {
      const [dns, addresses] = [idsOf(flags.dns) ?? [], idsOf(flags.ip) ?? []];
      const names = [...dns, ...addresses];
      const replace = flags.force === true;
      const issued = issueCertificate(flags.ca, {
        name,
        dns,
        addresses,
        lifetimeMs: lifetimeOf(flags.expires),
        nowMs: Date.now(),
        replace,
      });
      const expires = new Date(issued.notAfterMs).toISOString();
      outputOf(command).result({ certFile: issued.certFile, keyFile: issued.keyFile, names, expires }, (print) => {
        for (const line of fieldLines([
          ['certificate', issued.certFile],
          ['key', `${issued.keyFile} (mode 0600)`],
          ['for', names.join(', ') || 'a client'],
          ['ends', expires],
        ]))
          print(line);
      });
    });
}

interface IssueFlags {
  readonly ca: string;
  readonly dns?: string;
  readonly ip?: string;
  readonly expires: string;
  readonly force?: true;
}

function lifetimeOf(text: string): number {
  const lifetimeMs = parseLifetime(text);
  if (lifetimeMs !== undefined) return lifetimeMs;
  throw new TrellisError('TRELLIS_USAGE', { message: 'A certificate ends some day: give a lifetime such as 365d' });
}
