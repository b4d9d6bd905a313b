/**
 * The daemon: reads flags, environment and file, refuses what should not run, and runs a host until it is told to stop.
 * `host.js` in the root of the package starts it under Trellis' own Node.
 */
// The first of all imports: it sets flags that hold from then on.
import { startingIsOver } from './starting.ts';
import { writeFileSync } from 'node:fs';
import { CommanderError } from 'commander';
import { ALLOWANCES, allowed } from '../config/allowances.ts';
import { formatProblems } from '../config/problems.ts';
import type { Problem } from '../config/problems.ts';
import type { HostConfig } from '../config/schema.ts';
import { readSecretFile } from '../config/secret-files.ts';
import { listSettings } from '../config/settings.ts';
import { readVersions } from '../config/version.ts';
import { EXIT, TrellisError } from '../errors.ts';
import { createLogger } from '../telemetry/log.ts';
import type { Logger } from '../telemetry/log.ts';
import { Scrubber } from '../telemetry/scrub.ts';
import { checkedConfig } from './checked-config.ts';
import type { CheckedConfig } from './checked-config.ts';
import { readFlags } from './flags.ts';
import type { DaemonFlags } from './flags.ts';

/** Runs the daemon's command line and returns its exit code. */
async function main(argv: readonly string[]): Promise<number> {
  emptyCoreDumps();
  let flags: DaemonFlags;
  try {
    flags = readFlags(argv);
  } catch (error) {
    if (error instanceof CommanderError) return EXIT.ok;
    return reportError(error, argv.includes('json') || argv.includes('--output=json') ? 'json' : 'text');
  }
  if (flags.version) return printVersions(flags.output);

  const loaded = checkedConfig({ ...flags.load, env: process.env });
  const { problems } = loaded;
  if (flags.checkOnly) return printCheck(problems, flags.output);
  if (loaded.refused || loaded.config === undefined) {
    if (flags.output === 'json') printCheck(problems, 'json');
    else process.stderr.write(formatProblems(problems));
    return EXIT.config;
  }
  const log = createLogger({ ...loaded.config.log, scrubber: scrubberOf(loaded.config) });
  const hadSecrets = forgetSecrets();
  const readAgain = (): CheckedConfig | undefined => {
    if (hadSecrets) return undefined;
    const again = checkedConfig({ ...flags.load, env: process.env });
    if (again.readable !== undefined) registerSecrets(log.scrubber, again.readable);
    return again;
  };
  for (const { code, setting, source, summary, fix } of problems) log.warn({ code, setting, source, fix }, summary);
  for (const name of allowed(loaded.config.allow)) {
    const { code, danger } = ALLOWANCES[name];
    log.warn({ code, allow: name }, `${name} is allowed: ${danger}`);
  }
  onCrash(log);
  return run(loaded.config, log, readAgain);
}

async function run(config: HostConfig, log: Logger, readAgain: () => CheckedConfig | undefined): Promise<number> {
  const { trellis, node } = readVersions();
  log.info({ version: trellis, node, lattice: config.lattice, verify: config.trust.verify, pid: process.pid }, 'starting');
  try {
    // Loaded only now: --help, --version and --check-config need neither NATS nor a component.
    const { runHost } = await import('./run.ts');
    const code = await runHost({ config, log, readAgain, onServing: startingIsOver });
    log.info({ code: undefined, exitCode: code }, 'stopped');
    return code;
  } catch (err) {
    log.fatal({ err }, 'the host could not run');
    return err instanceof TrellisError ? err.exitCode : EXIT.unexpected;
  } finally {
    log.flush();
  }
}

/** Everything secret that the configuration names, so that no log line shows it. */
function scrubberOf(config: HostConfig): Scrubber {
  const scrubber = new Scrubber();
  registerSecrets(scrubber, config);
  return scrubber;
}

function registerSecrets(scrubber: Scrubber, config: HostConfig): void {
  const { ctl, rpc, artifacts } = config;
  for (const seed of [config.trust.clusterSeed, ctl.seed, rpc.seed, artifacts.password])
    if (seed !== undefined) scrubber.register(seed);
  const files = [
    config.hostSeedFile,
    config.trust.clusterSeedFile,
    config.trust.wasmbus.seedFile,
    ctl.credsFile,
    ctl.seedFile,
    rpc.credsFile,
    rpc.seedFile,
    artifacts.passwordFile,
    ...artifacts.credentials.map(({ passwordFile }) => passwordFile),
  ];
  for (const path of files) {
    const file = path === undefined ? undefined : readSecretFile(path);
    if (file?.ok === true) scrubber.register(file.text);
  }
}

/**
 * Takes seeds out of the environment, so that no child process inherits them and no diagnostic report shows them. Returns true if
 * there were any.
 */
function forgetSecrets(): boolean {
  let found = false;
  for (const setting of listSettings()) {
    if (!setting.secret) continue;
    for (const name of setting.env) {
      found ||= Boolean(process.env[name]);
      delete process.env[name];
    }
  }
  if (process.report !== undefined) process.report.excludeEnv = true;
  return found;
}

/**
 * Leaves memory out of core dumps, of this process and of those it starts (core(5)). The limit of their size is not a
 * program's to lower in Node; what is in them is.
 */
function emptyCoreDumps(): void {
  try {
    writeFileSync('/proc/self/coredump_filter', '0');
  } catch {
    // Not Linux, or a sandbox that hides it: the operator's limit is what there is.
  }
}

/** An error that nobody caught: say it, flush, and let the supervisor start a fresh process. */
function onCrash(log: Logger): void {
  process.on('uncaughtException', (err) => {
    log.fatal({ err }, 'unexpected error; the process ends');
    log.flush();
    process.exit(EXIT.unexpected);
  });
}

function printCheck(problems: readonly Problem[], output: 'text' | 'json'): number {
  const ok = !problems.some((problem) => problem.severity === 'refused');
  if (output === 'json') process.stdout.write(`${JSON.stringify({ ok, problems }, undefined, 2)}\n`);
  else
    process.stdout.write(
      [...(problems.length > 0 ? [formatProblems(problems)] : []), ...(ok ? ['The configuration can be started.\n'] : [])].join(
        '\n',
      ),
    );
  return ok ? EXIT.ok : EXIT.config;
}

function printVersions(output: 'text' | 'json'): number {
  const versions = readVersions();
  if (output === 'json') process.stdout.write(`${JSON.stringify(versions)}\n`);
  else for (const [name, version] of Object.entries(versions)) process.stdout.write(`${name.padEnd(8)} ${version}\n`);
  return EXIT.ok;
}

function reportError(error: unknown, output: 'text' | 'json'): number {
  const known = error instanceof TrellisError ? error : new TrellisError('TRELLIS_INTERNAL', { cause: error });
  if (output === 'json') {
    const { code, message, remedy } = known;
    process.stdout.write(`${JSON.stringify({ error: { code, message, hint: remedy } })}\n`);
  } else {
    process.stderr.write(`host.js: ${known.message}\n  ${known.remedy}\n`);
  }
  return known.exitCode;
}

process.exit(await main(process.argv.slice(2)));
