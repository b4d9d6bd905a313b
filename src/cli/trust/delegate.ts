import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { TrellisError } from '../../errors.ts';
import { componentId, latticeName } from '../../ids.ts';
import { delegationThumbprint, MAX_DELEGATION_LIFETIME_MS, mintDelegation, openDelegation } from '../../trust/delegation.ts';
import { type KeyKind, publicKeyKind } from '../../trust/nkey.ts';
import { scopeIds, scopeOf } from '../../trust/scope.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { readTextFile } from '../text-file.ts';
import { wholeNumber } from './whole-number.ts';

interface DelegateFlags {
  readonly seedFile: string;
  readonly out: string;
  readonly lattice: string;
  readonly origins: string;
  readonly targets: string;
  readonly commands?: string;
  readonly lifetime: string;
  readonly epoch: string;
  readonly parent?: string;
}

/** First tokens of what control subjects ask, of those requests that change something. */
const NOUNS = ['component', 'config', 'host', 'label', 'link', 'provider', 'registry'] as const;

/** `trellis keys delegate`: let a host's key sign for some components, a host's provider, or an operator. Needs no connection. */
export function registerDelegate(keys: Command): void {
  keys
    .command('delegate')
    .description(
      'Mint a delegation: a cluster key lets a host key (N…) sign, or an operator key (U…) give commands, or a host key a provider key (V…).',
    )
    .argument('<key>', 'public key that may sign')
    .requiredOption('--seed-file <file>', 'seed of the cluster key, or of the host key with --parent')
    .requiredOption('--out <file>', 'file for the delegation; must not exist yet')
    .option('--lattice <name>', 'lattice in which it counts', 'default')
    .option('--origins <ids>', 'components it may speak for, separated by commas; "*" for all', '')
    .option('--targets <ids>', 'components it may answer for, in the same way', '')
    .option('--commands <nouns>', `commands that an operator key may give: "*", or of ${NOUNS.join(', ')}`)
    .option('--lifetime <duration>', 'such as 30m or 24h, which is the longest', '1h')
    .option('--epoch <number>', 'epoch of the issuer set in force (trellis keys issuers shows it)', '0')
    .option('--parent <file>', "delegation of the host that delegates, for a provider's key")
    .addHelpText(
      'after',
      examples(
        'trellis keys delegate NB4X… --seed-file cluster.seed --out host.dlg --origins echo,hello --targets echo,hello --lifetime 24h',
        'trellis keys delegate UDXU… --seed-file cluster.seed --out ops.dlg --commands component,link,config --lifetime 24h',
        'trellis keys delegate VC3I… --seed-file host.seed --parent host.dlg --out provider.dlg --targets keyvalue',
      ),
    )
    .action(async (subject: string, flags: DelegateFlags, command: Command) => {
      const kind = publicKeyKind(subject);
      if (kind !== 'server' && kind !== 'service' && kind !== 'user') {
        throw new TrellisError('TRELLIS_USAGE', {
          message: 'The key that may sign is a public key of a host (N…), an operator (U…) or a provider (V…)',
        });
      }
      const isProvider = kind === 'service';
      const commands = commandsIn(kind, flags);
      if (isProvider !== (flags.parent !== undefined)) {
        throw new TrellisError('TRELLIS_USAGE', { message: "A provider's key needs --parent FILE, and other keys have none" });
      }
      const { readSeedFile } = await import('./view.ts');
      const key = readSeedFile(flags.seedFile, isProvider ? 'server' : 'cluster');
      const parent = flags.parent === undefined ? undefined : readTextFile(flags.parent).trim();
      const above = parent === undefined ? undefined : openDelegation(parent);
      if (parent !== undefined && above?.sub !== key.publicKey) {
        throw new TrellisError('TRELLIS_USAGE', { message: `${flags.parent} is no delegation of the key in ${flags.seedFile}` });
      }
      const text = mintDelegation(key, {
        lattice: latticeName(flags.lattice),
        subject,
        origins: scopeIds(scopeIn(flags.origins)),
        targets: scopeIds(scopeIn(flags.targets)),
        ...(commands === undefined ? {} : { commands: scopeIds(commands) }),
        epoch: above?.epc ?? wholeNumber('--epoch', flags.epoch),
        nowMs: Date.now(),
        lifetimeMs: lifetimeIn(flags.lifetime),
        ...(parent === undefined ? {} : { parent }),
      });
      writeNew(flags.out, `${text}\n`);
      const claims = openDelegation(text)!;
      const kid = delegationThumbprint(text);
      const { iss, sub, org, tgt, exp, epc } = claims;
      const rights = commands === undefined ? { origins: org, targets: tgt } : { commands };
      const facts = { kid, issuer: iss, subject: sub, ...rights, epoch: epc, expiresMs: exp };
      outputOf(command).result({ file: flags.out, lattice: claims.lat, ...facts }, (print) => {
        for (const line of fieldLines([
          ['delegation', flags.out],
          // It counts in this one alone, and says nothing of it anywhere else.
          ['lattice', claims.lat],
          ['kid', kid],
          ['from', iss],
          ['to', sub],
          ...(commands === undefined
            ? ([
                ['speaks for', org === '' ? 'nobody' : org],
                ['answers for', tgt === '' ? 'nobody' : tgt],
              ] as const)
            : ([['commands', commands]] as const)),
          ['until', new Date(exp).toISOString()],
        ]))
          print(line);
      });
    });
}

function scopeIn(text: string): string {
  const ids = text.split(',').map((id) => id.trim());
  return scopeOf(ids.filter((id) => id !== '').map((id) => (id === '*' ? id : componentId(id))));
}

/** The nouns of `--commands`, for an operator's key; `undefined` for others. @throws TRELLIS_USAGE */
function commandsIn(kind: KeyKind, { commands, origins, targets }: DelegateFlags): string | undefined {
  if (kind !== 'user') {
    if (commands === undefined) return undefined;
    throw new TrellisError('TRELLIS_USAGE', {
      message: '--commands is for an operator key (U…): no other kind of key gives commands',
    });
  }
  const nouns = (commands ?? '').split(',').map((noun) => noun.trim());
  const known = nouns.every((noun) => noun === '*' || (NOUNS as readonly string[]).includes(noun));
  if (known && origins === '' && targets === '') return scopeOf(nouns);
  throw new TrellisError('TRELLIS_USAGE', {
    message: `An operator key (U…) needs --commands, "*" or a list of ${NOUNS.join(', ')}; it has no --origins and no --targets`,
  });
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000 };

function lifetimeIn(text: string): number {
  const match = /^([1-9][0-9]{0,6})([smh])$/.exec(text);
  const lifetimeMs = match === null ? 0 : Number(match[1]) * UNIT_MS[match[2]!]!;
  if (lifetimeMs > 0 && lifetimeMs <= MAX_DELEGATION_LIFETIME_MS) return lifetimeMs;
  throw new TrellisError('TRELLIS_USAGE', { message: '--lifetime must be a number and s, m or h, at most 24h: for example 30m' });
}

function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new TrellisError('TRELLIS_CLI_FILE', {
      message:
        code === 'EEXIST' ? `${file} exists already and is not overwritten` : `${file} cannot be written (${String(code)})`,
      remedy: 'Choose another file, in a folder you can write to.',
    });
  }
}
