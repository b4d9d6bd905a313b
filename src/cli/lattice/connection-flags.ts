import { type Command, Option } from 'commander';
import { TrellisError } from '../../errors.ts';
import type { GivenSetting } from '../caller-config.ts';

/** The flags by which a command says which lattice it means, and where its servers are. */
export interface PlaceFlags {
  readonly context?: string;
  readonly lattice?: string;
  readonly configFile?: string;
  readonly ctlServers?: string;
  readonly ctlHost?: string;
  readonly ctlPort?: string;
  readonly ctlCreds?: string;
  readonly ctlCredsfile?: string;
  readonly ctlTlsCaFile?: string;
  readonly rpcServers?: string;
  readonly rpcCreds?: string;
}

/** The same, and how a command to hosts is sent. */
export interface ConnectionFlags extends PlaceFlags {
  readonly signSeedFile?: string;
  readonly signDelegationFile?: string;
  readonly timeoutMs: string;
}

/** How long a host may take to answer when nobody says otherwise, milliseconds; as with wash. */
const TIMEOUT_MS = 2_000;

/** Adds them, in a group of their own: for commands to hosts. */
export function addConnectionFlags(command: Command): Command {
  return addPlaceFlags(command)
    .option('--sign-seed-file <file>', 'sign commands with this key: an operator seed (SU…) or a cluster seed (SC…)')
    .option(
      '--sign-delegation-file <file>',
      'delegation that lets the operator give commands (trellis keys delegate); asked of the issuer service if left out',
    )
    .option('-t, --timeout-ms <number>', 'how long hosts may take to answer', String(TIMEOUT_MS));
}

/** Adds those that say which lattice it is, and where its servers are. */
export function addPlaceFlags(command: Command): Command {
  return command
    .optionsGroup('Which lattice, and how to reach it:')
    .option('-x, --lattice <name>', 'name of the lattice')
    .option('--context <name>', 'take the settings from this context (trellis ctx list)')
    .option('--config-file <file>', 'take the settings from this file, as a host does')
    .option('--ctl-servers <a,b>', 'NATS servers, as nats://host:port or tls://host:port')
    .option('--ctl-creds <file>', 'credentials of a user for the ctl connection')
    .option('--ctl-tls-ca-file <file>', 'certificate authorities (PEM) of the servers')
    .addOption(new Option('-r, --ctl-host <host>', 'host of the NATS server').hideHelp())
    .addOption(new Option('-p, --ctl-port <port>', 'port of the NATS server').hideHelp())
    .addOption(new Option('--ctl-credsfile <file>', 'as --ctl-creds').hideHelp());
}

/** Settings that those flags give. */
export function settingsOf(flags: PlaceFlags): GivenSetting[] {
  const servers = serversOf(flags);
  const given: readonly (readonly [setting: string, text: string | undefined, flag: string])[] = [
    ['lattice', flags.lattice, '--lattice'],
    ['ctl.servers', servers, flags.ctlServers === undefined ? '--ctl-host' : '--ctl-servers'],
    // Most lattices have one address for both connections.
    ['rpc.servers', flags.rpcServers ?? servers, flags.rpcServers === undefined ? '--ctl-servers' : '--rpc-servers'],
    ['ctl.credsFile', flags.ctlCreds ?? flags.ctlCredsfile, '--ctl-creds'],
    ['rpc.credsFile', flags.rpcCreds, '--rpc-creds'],
    ['ctl.tls.caFile', flags.ctlTlsCaFile, '--ctl-tls-ca-file'],
    ['rpc.tls.caFile', flags.ctlTlsCaFile, '--ctl-tls-ca-file'],
  ];
  return given.flatMap(([setting, text, flag]) => (text === undefined ? [] : [{ setting, text, flag }]));
}

/** `--timeout-ms` as a number. @throws TRELLIS_USAGE */
export function timeoutOf(flags: Pick<ConnectionFlags, 'timeoutMs'>): number {
  return wholeNumber(flags.timeoutMs, '--timeout-ms', 1, 3_600_000);
}

/** Reads a whole number of a flag. @throws TRELLIS_USAGE */
export function wholeNumber(text: string, flag: string, min: number, max: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  // What is nearest to a number that was written; whoever wrote "5s" may have meant 5 or 5000.
  const nearest = /^-?\d+(?:\.\d+)?$/.test(text) ? Math.min(max, Math.max(min, Math.round(Number(text)))) : undefined;
  throw new TrellisError('TRELLIS_USAGE', {
    message: `${flag} must be a whole number from ${min} to ${max}, in digits and without a unit`,
    ...(nearest === undefined ? {} : { remedy: `The nearest is ${flag} ${nearest}.` }),
  });
}

/** Reads `name=value` pairs; of two with one name the last one counts. @throws TRELLIS_USAGE */
export function pairsOf(texts: readonly string[], what: string): Record<string, string> {
  const pairs = texts.map((text): [string, string] => {
    const at = text.indexOf('=');
    if (at >= 1) return [text.slice(0, at).trim(), text.slice(at + 1)];
    throw new TrellisError('TRELLIS_USAGE', {
      message: `${what} must look like name=value`,
      remedy: 'Quote values with spaces: "name=some text".',
    });
  });
  return Object.fromEntries(pairs);
}

function serversOf({ ctlServers, ctlHost, ctlPort }: PlaceFlags): string | undefined {
  if (ctlServers !== undefined || (ctlHost === undefined && ctlPort === undefined)) return ctlServers;
  return `nats://${ctlHost ?? '127.0.0.1'}:${ctlPort ?? '4222'}`;
}

/** An option that may be given several times; its value is a list, or nothing at all. */
export function repeated(flags: string, about: string): Option {
  return new Option(flags, about).argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
}
