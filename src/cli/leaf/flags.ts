import { Option } from 'commander';
import type { Command } from 'commander';
import type { SidecarForm } from '../../leaf/sidecar-spec.ts';
import { examples } from '../program.ts';

/** Flags of `trellis leaf config`, as given. */
export interface ConfigFlags {
  readonly form: SidecarForm;
  readonly hub: string;
  readonly domain: string;
  readonly lattice: string;
  readonly name?: string;
  readonly nameEnv?: string;
  readonly ctlCreds: string;
  readonly rpcCreds: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly listen: string;
  readonly rpcListen?: string;
  readonly monitor: string;
  readonly maxPayload?: string;
  readonly ctlSeed: string;
  readonly store?: string;
  readonly operator?: string;
  readonly operatorJwt?: string;
  readonly accountJwt?: readonly string[];
  readonly filesIn?: string;
  readonly hostFilesIn?: string;
  readonly out: string;
  readonly hostConfig?: string;
  readonly hostBase?: string;
  readonly force?: true;
}

const FORMS = ['both', 'pair', 'operator'] as const satisfies readonly SidecarForm[];

/** Adds the command with its flags and examples, and returns it. */
export function addLeafConfig(leaf: Command): Command {
  return leaf
    .command('config')
    .description(
      'Write the configuration of the nats-server beside a host: it has credentials and TLS, the host stays on loopback.',
    )
    .requiredOption('--hub <addresses>', 'leaf node addresses of the hub, tls://host:7422, separated by commas')
    .requiredOption('--ctl-creds <file>', 'credentials of its ctl user at the hub')
    .requiredOption('--rpc-creds <file>', 'credentials of its rpc user at the hub')
    .addOption(
      new Option(
        '--form <form>',
        'both: one process, two accounts; pair: a process each; operator: one process, and local clients have their own JWTs',
      )
        .choices(FORMS)
        .default('both'),
    )
    .option('--lattice <name>', 'lattice of the host', 'default')
    .option('--domain <name>', 'JetStream domain of the hub', 'hub')
    .option('--name <name>', 'name of the sidecar, unique at the hub; made of its rpc user key if left out')
    .option(
      '--name-env <variable>',
      'environment variable that has the name, such as POD_NAME where several pods share the files',
    )
    .option('--ca <file>', 'certificate authorities of the hub; the system ones if left out')
    .option('--cert <file>', 'client certificate, if the hub verifies leaves')
    .option('--key <file>', 'private key of the client certificate')
    .option('--listen <address>', 'loopback address for clients (for ctl, with --form pair)', '127.0.0.1:4222')
    .option('--rpc-listen <address>', 'loopback address for rpc, with --form pair; the next port if left out')
    .option(
      '--monitor <address>',
      'loopback address of /healthz (and the next port, with --form pair); or none',
      '127.0.0.1:8222',
    )
    .option('--max-payload <bytes>', 'max_payload of the hub, where it is not 1048576')
    .option('--ctl-seed <file>', 'seed of the local ctl user (both, pair); made if there is none', 'leaf-ctl.seed')
    .option('--store <dir>', 'store of trellis auth or nsc with the JWTs for --form operator; TRELLIS_AUTH_STORE')
    .option('--operator <name>', 'which operator, if the store has several')
    .option('--operator-jwt <file>', 'JWT of the operator, instead of a store')
    .option('--account-jwt <files...>', 'JWTs of the ctl, rpc and system accounts, instead of a store')
    .option('--files-in <folder>', 'where the sidecar will find its files, if not where they are now (containers)')
    .option('--host-files-in <folder>', 'where the host will find its files, if not where they are now')
    .option('--out <folder>', 'folder for leaf.conf, or leaf-ctl.conf and leaf-rpc.conf', '.')
    .option('--host-config <file>', 'also write the configuration of the host behind it')
    .option('--host-base <file>', 'configuration to which its connection settings are added; trust, components and links stay')
    .option('--force', 'replace files that exist')
    .addHelpText(
      'after',
      examples(
        'trellis leaf config --hub tls://hub.example:7422 --ca ca.pem --ctl-creds h1-ctl.creds --rpc-creds h1-rpc.creds --host-base base.yaml --host-config host.yaml',
        'trellis leaf config --form pair --listen 127.0.0.1:4222 --rpc-listen 127.0.0.1:4223 --hub … --ctl-creds … --rpc-creds …',
        'trellis leaf config --form operator --store /srv/trellis/auth --hub … --ctl-creds … --rpc-creds …',
        '# for containers, which find their files elsewhere:',
        'trellis leaf config --files-in /run/leaf --host-files-in /run/host --hub … --ctl-creds … --rpc-creds …',
      ),
    );
}
