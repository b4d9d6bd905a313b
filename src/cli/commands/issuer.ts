import { once } from 'node:events';
import type { Command } from 'commander';
import { joinAudit, openAudit } from '../../host/audit-trail.ts';
import { systemClock } from '../../clock.ts';
import { serveDelegations } from '../../control/delegate.ts';
import { TrellisError } from '../../errors.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import type { SigningKey } from '../../trust/nkey.ts';
import type { TrustState } from '../../trust/trust-state.ts';
import { readAllowList } from '../trust/allow-list-file.ts';
import { examples, outputOf } from '../program.ts';
import { type LogLevel, readSeedFile, TrustView } from '../trust/view.ts';

interface IssuerFlags {
  readonly seedFile: string[];
  readonly allow: string;
  readonly config?: string;
  readonly logLevel: LogLevel;
}

/** `trellis issuer`: the one process that holds the cluster seed and signs delegations for hosts that prove themselves. */
export function register(program: Command): void {
  program
    .command('issuer')
    .description(
      'Run the issuer service of a lattice: it holds the cluster seed, so that no host has to, and signs short delegations for hosts ' +
        'and operators on an allow-list. Hosts use it with trust.issuerService: true.',
    )
    .requiredOption('--seed-file <file...>', 'seed of a cluster key; with several, the one that should sign now is used')
    .requiredOption('--allow <file>', 'allow-list (YAML), read again when it changes')
    .option('--config <file>', 'configuration with servers, ctl credentials and cluster issuers')
    .option('--log-level <level>', 'least level that is logged; every request leaves a line at info or warn', 'info')
    .addHelpText(
      'after',
      `${examples(
        'trellis issuer --seed-file cluster.seed --allow hosts.yaml --config issuer.yaml',
        '# during a rotation it holds both',
        'trellis issuer --seed-file old.seed --seed-file new.seed --allow hosts.yaml',
      )}
An allow-list names hosts by the key of their NATS ctl user, their own key, or both; and operators, who sign commands, by theirs:
  allow:
    - user: UAAQ…
      origins: [echo, greeter-chain]
      targets: ["*"]
      lifetimeMs: 900000
    - operator: UDXU…
      commands: [component, link, config]
`,
    )
    .action(async (flags: IssuerFlags, command: Command) => {
      const keys = flags.seedFile.map((file) => readSeedFile(file, 'cluster'));
      const allowList = readAllowList(flags.allow);
      await using view = await TrustView.open(flags.config, flags.logLevel, 'trellis issuer');
      const { ctl, lattice, state, log } = view;
      const known = keys.filter(({ publicKey }) => state.issuers.includes(publicKey));
      if (known.length === 0) {
        throw new TrellisError('TRELLIS_ROTATION_STATE', {
          message: `none of the seeds is of an issuer of lattice ${lattice}, so no host would believe what it signs`,
        });
      }
      const trail = { config: view.config, host: known[0]!.publicKey, log, metrics: createMetrics({ eventLoop: false }) };
      const audit = await openAudit(trail);
      joinAudit(audit, ctl, trail);
      const service = serveDelegations({
        ctl,
        lattice,
        clock: systemClock,
        log,
        audit,
        skewMs: view.skewMs,
        allowList: () => allowList.current(log),
        signer: () => chooseSigner(keys, state),
        accepts: (delegation) => state.judgeDelegation(delegation) === undefined,
      });
      await ctl.flush();
      log.info({ lattice, issuers: known.map(({ publicKey }) => publicKey), epoch: state.epoch }, 'issuer service ready');
      const reason = await ended(ctl.closed);
      await service.drain();
      await audit.close();
      if (reason instanceof TrellisError) throw reason;
      outputOf(command).result({ lattice, ...service.stats }, (print) =>
        print(`Signed ${service.stats.signed}, refused ${service.stats.refused}.`),
      );
    });
}

/** The key that should sign now, or else one that counts. */
function chooseSigner(keys: readonly SigningKey[], state: TrustState): { key: SigningKey; epoch: number } | undefined {
  const key =
    keys.find(({ publicKey }) => publicKey === state.active) ?? keys.find(({ publicKey }) => state.issuers.includes(publicKey));
  return key === undefined ? undefined : { key, epoch: state.epoch };
}

/** Resolves when somebody stops the process, or the connection ends for good. */
async function ended(closed: Promise<TrellisError | undefined>): Promise<TrellisError | undefined> {
  const stop = new AbortController();
  const { signal } = stop;
  const signals = (['SIGTERM', 'SIGINT', 'SIGHUP'] as const).map((name) => once(process, name, { signal }).then(() => undefined));
  const lost = closed.then((cause) => new TrellisError('TRELLIS_LATTICE_LOST', { cause }));
  const reason = await Promise.race([...signals, lost]);
  stop.abort();
  await Promise.allSettled(signals);
  return reason;
}
