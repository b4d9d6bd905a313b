import { isAbsolute, join, resolve } from 'node:path';
import { Option } from 'commander';
import type { Command } from 'commander';
import { exportStore } from '../../auth/export.ts';
import type { Resolver, ServerConfigOptions, ServerTls } from '../../auth/server-config.ts';
import { TrellisError } from '../../errors.ts';
import { hostPort } from '../../ids.ts';
import { fieldLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { openStore, type StoreFlags, withStore } from './store-option.ts';

interface ExportFlags extends StoreFlags {
  readonly out: string;
  readonly resolver: Resolver['kind'];
  readonly resolverDir?: string;
  readonly url?: string;
  readonly listen: string;
  readonly leafListen?: string;
  readonly serverName?: string;
  readonly jetstreamDir?: string;
  readonly jetstream: boolean;
  readonly domain?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsCa?: string;
  readonly tlsVerify?: true;
  readonly plaintext?: true;
  readonly creds: boolean;
  readonly force?: true;
}

/** `trellis auth export`: files for servers and for whoever logs in. */
export function registerExport(auth: Command): void {
  withStore(auth.command('export'))
    .description('Write a nats-server configuration that trusts this operator, and the creds files (mode 0600).')
    .requiredOption('--out <dir>', 'folder for nats-server.conf and creds/')
    .addOption(
      new Option(
        '--resolver <kind>',
        'where the server has accounts from: memory is the file alone, full takes auth push, url asks a web server',
      )
        .choices(['memory', 'full', 'url'])
        .default('full'),
    )
    .option('--resolver-dir <dir>', 'full: where the server keeps accounts; OUT/jwt if left out')
    .option('--url <url>', 'url: where accounts are, such as https://jwt.example/accounts/')
    .option('--listen <host:port>', 'where the server takes clients', '127.0.0.1:4222')
    .option('--leaf-listen <host:port>', 'where the server takes leaf nodes; nowhere if left out')
    .option('--server-name <name>', 'name of the server; needed with JetStream in a cluster')
    .option('--jetstream-dir <dir>', "JetStream's files; OUT/jetstream if left out")
    .option('--no-jetstream', 'a server without JetStream')
    .option('--domain <name>', 'JetStream domain; leaf nodes need one')
    .option('--tls-cert <file>', 'certificate of the server')
    .option('--tls-key <file>', 'its private key')
    .option('--tls-ca <file>', 'authority of the certificates')
    .option('--tls-verify', 'ask clients for a certificate, too')
    .option('--plaintext', 'allow an address beyond loopback without TLS')
    .option('--no-creds', 'do not copy creds files')
    .option('--force', 'replace files that are there')
    .addHelpText(
      'after',
      examples(
        'trellis auth export --out nats',
        'trellis auth export --out nats --listen 0.0.0.0:4222 --tls-cert server.pem --tls-key server-key.pem --tls-ca ca.pem',
        'trellis auth export --out nats --resolver memory --force',
        'trellis auth export --out hub --leaf-listen 0.0.0.0:7422 --domain hub --tls-cert server.pem --tls-key server-key.pem --tls-ca ca.pem',
        'trellis auth export --out nats --resolver url --url https://jwt.example/accounts/',
        'nats-server -c nats/nats-server.conf',
      ),
    )
    .action((flags: ExportFlags, command: Command) => {
      const out = resolve(flags.out);
      const files = exportStore(openStore(flags), {
        out,
        server: serverOptions(flags, out),
        creds: flags.creds,
        force: flags.force,
        nowMs: Date.now(),
      });
      outputOf(command).result(files, (print) => {
        for (const line of fieldLines([
          ['server', files.serverConfig],
          ['creds', files.creds.length === 0 ? 'none' : `${files.creds.length} in ${join(out, 'creds')} (mode 0600)`],
          ...(files.accounts.length === 0
            ? []
            : [['accounts', `${join(out, 'accounts')}, to be served at ${String(flags.url)}`] as const]),
        ]))
          print(line);
        print('');
        print(`Start it: nats-server -c ${files.serverConfig}`);
      });
    });
}

function serverOptions(flags: ExportFlags, out: string): ServerConfigOptions {
  const tls = tlsOf(flags);
  for (const [flag, address] of [
    ['--listen', flags.listen],
    ['--leaf-listen', flags.leafListen],
  ] as const) {
    if (address !== undefined) checkAddress(flag, address, tls !== undefined || flags.plaintext === true);
  }
  return {
    resolver: resolverOf(flags, out),
    listen: flags.listen,
    leafListen: flags.leafListen,
    name: flags.serverName,
    tls,
    jetstreamDir: flags.jetstream ? absolute(flags.jetstreamDir ?? join(out, 'jetstream')) : undefined,
    domain: flags.domain,
  };
}

/** A server's paths are looked for from wherever it is started, so they are written in full. */
const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(path));

function resolverOf({ resolver, resolverDir, url }: ExportFlags, out: string): Resolver {
  if (resolver !== 'full' && resolverDir !== undefined) throw usage('--resolver-dir is for --resolver full');
  if ((resolver === 'url') !== (url !== undefined)) throw usage('--resolver url and --url go together');
  if (resolver === 'full') return { kind: 'full', dir: absolute(resolverDir ?? join(out, 'jwt')) };
  if (resolver === 'memory') return { kind: 'memory' };
  if (!/^https?:\/\/[^\s"\\]+\/$/.test(url!)) throw usage('--url is an address of http or https that ends in a slash');
  return { kind: 'url', url: url! };
}

function tlsOf({ tlsCert, tlsKey, tlsCa, tlsVerify }: ExportFlags): ServerTls | undefined {
  if (tlsCert === undefined && tlsKey === undefined) {
    if (tlsCa !== undefined || tlsVerify === true) throw usage('--tls-ca and --tls-verify need --tls-cert and --tls-key');
    return undefined;
  }
  if (tlsCert === undefined || tlsKey === undefined) throw usage('--tls-cert and --tls-key go together');
  if (tlsVerify === true && tlsCa === undefined) throw usage('--tls-verify needs --tls-ca');
  const caFile = tlsCa === undefined ? undefined : absolute(tlsCa);
  return { certFile: absolute(tlsCert), keyFile: absolute(tlsKey), caFile, verifyClients: tlsVerify };
}

function checkAddress(flag: string, address: string, safe: boolean): void {
  const parsed = hostPort(address);
  if (parsed === undefined) throw usage(`${flag} takes HOST:PORT, such as 0.0.0.0:4222`);
  if (safe || /^(?:127(?:\.[0-9]+){3}|::1|localhost)$/.test(parsed.host)) return;
  throw new TrellisError('TRELLIS_USAGE', {
    message: `${flag} ${address} is beyond loopback, and there would be no TLS`,
    remedy: 'Name a certificate with --tls-cert and --tls-key, or say --plaintext where something else encrypts.',
  });
}

const usage = (message: string): TrellisError => new TrellisError('TRELLIS_USAGE', { message });
