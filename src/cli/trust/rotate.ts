import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { type Laggard, nextStep, type Rotation, type RotationStep } from '../../control/rotation.ts';
import { askToRenew } from '../../control/trust-report.ts';
import { TrellisError } from '../../errors.ts';
import type { SigningKey } from '../../trust/nkey.ts';
import { type Output, tableLines } from '../output.ts';
import { examples, outputOf } from '../program.ts';
import { wholeNumber } from './whole-number.ts';
import { type LogLevel, readSeedFile, TrustView } from './view.ts';

interface RotateFlags {
  readonly from: string;
  readonly to: string;
  readonly config?: string;
  readonly dryRun?: true;
  readonly skipHost?: string[];
  readonly graceMs: string;
  readonly timeoutMs: string;
  readonly logLevel: LogLevel;
}

/** Longest life of a token (60 s) and the usual difference of clocks: what was signed under the old key has ended by then. */
const GRACE_MS = 65_000;
const LOOK_EVERY_MS = 500;
const RENEW_EVERY_MS = 6_000;

const WHAT: Readonly<Record<RotationStep['step'], string>> = {
  add: 'publish both issuers, signed by the old one',
  switch: 'let the new issuer sign from now on, once every host believes it',
  retire: 'retire the old issuer, once every host signs under the new one and the grace time is over',
  settle: 'wait until no host believes the old issuer',
  done: 'nothing: the rotation is complete',
};

/** `trellis keys rotate`: one cluster key in place of another, without a lost call. */
export function registerRotate(keys: Command): void {
  keys
    .command('rotate')
    .description(
      'Replace a cluster key on a running lattice without losing a call. What is done is kept in the trust bucket, so the ' +
        'command may be stopped and run again at any time.',
    )
    .requiredOption('--from <file>', 'seed file of the cluster key that goes')
    .requiredOption('--to <file>', 'seed file of the cluster key that comes (trellis keys gen cluster --out FILE)')
    .option('--config <file>', 'configuration with servers, ctl credentials and cluster issuers')
    .option('--dry-run', 'print what would happen and which hosts are not ready; change nothing')
    .option('--skip-host <key...>', 'do not wait for this host (N…); it is refused when the old key is gone')
    .option('--grace-ms <number>', 'wait this long after the last host has changed, for calls on their way', String(GRACE_MS))
    .option('--timeout-ms <number>', 'longest wait for hosts at one step', '900000')
    .option('--log-level <level>', 'least level that is logged', 'error')
    .addHelpText(
      'after',
      examples(
        'trellis keys gen cluster --out new.seed',
        'trellis keys rotate --from cluster.seed --to new.seed --dry-run',
        'trellis keys rotate --from cluster.seed --to new.seed --config ops.yaml',
        '# hosts that hold a seed file wait in the second step until it is replaced',
      ),
    )
    .action(async (flags: RotateFlags, command: Command) => {
      const output = outputOf(command);
      const [from, to] = [readSeedFile(flags.from, 'cluster'), readSeedFile(flags.to, 'cluster')];
      if (from.publicKey === to.publicKey) {
        throw new TrellisError('TRELLIS_USAGE', { message: 'The old and the new seed are the same key' });
      }
      const [graceMs, timeoutMs] = [wholeNumber('--grace-ms', flags.graceMs), wholeNumber('--timeout-ms', flags.timeoutMs)];
      const rotation: Rotation = { from: from.publicKey, to: to.publicKey, skipHosts: new Set(flags.skipHost) };
      await using view = await TrustView.open(flags.config, flags.logLevel, 'trellis keys rotate');
      if (flags.dryRun === true) {
        // Awaited here: the view closes when this function is left.
        await printPlan(output, view, rotation);
        return;
      }
      const published = await rotate({ view, rotation, from, to, graceMs, timeoutMs, say: (line) => output.progress(line) });
      const { epoch, issuers, active } = view.state;
      output.result({ lattice: view.lattice, done: true, epoch, active, issuers, published }, (print) => {
        print(`Done: at epoch ${epoch} ${to.publicKey} signs, and ${from.publicKey} counts no more.`);
        print(`Now replace ${from.publicKey} by ${to.publicKey} in trust.clusterIssuers of every configuration,`);
        print('so that a new host does not begin with the old key, and destroy the old seed.');
      });
    });
}

interface RotateOptions {
  readonly view: TrustView;
  readonly rotation: Rotation;
  readonly from: SigningKey;
  readonly to: SigningKey;
  readonly graceMs: number;
  readonly timeoutMs: number;
  say(line: string): void;
}

/** Goes from step to step to the end. Returns what it published. @throws TRELLIS_ROTATION_WAITING, TRELLIS_ROTATION_STATE */
async function rotate(options: RotateOptions): Promise<{ step: string; epoch: number }[]> {
  const { view, rotation, from, to, graceMs, say } = options;
  const published: { step: string; epoch: number }[] = [];
  for (;;) {
    const { step } = await waitForHosts(options);
    const { issuers } = view.state;
    if (step === 'done') return published;
    if (step === 'add' && !issuers.includes(rotation.from)) {
      throw new TrellisError('TRELLIS_ROTATION_STATE', {
        message: `${rotation.from} is not an issuer of lattice ${view.lattice}, so it cannot let another key in`,
      });
    }
    if (step === 'retire' && graceMs > 0) {
      say(`every host signs under the new issuer; waiting ${graceMs} ms for calls on their way`);
      await sleep(graceMs);
      // A host may have come back with the old key meanwhile.
      if (nextStep(await view.look(), rotation).laggards.length > 0) continue;
    }
    const epoch =
      step === 'add'
        ? await view.publish(from, { issuers: [...issuers, rotation.to], active: view.state.active })
        : step === 'switch'
          ? // Signed by the new key: a host that is configured with it alone can begin here.
            await view.publish(to, { issuers, active: rotation.to })
          : await view.publish(to, { issuers: issuers.filter((key) => key !== rotation.from), active: rotation.to });
    published.push({ step, epoch });
    say(`epoch ${epoch}: ${WHAT[step].split(',')[0]}`);
  }
}

/** Looks until the next step waits for nobody. @throws TRELLIS_ROTATION_WAITING */
async function waitForHosts({ view, rotation, timeoutMs, say }: RotateOptions): Promise<RotationStep> {
  const startMs = performance.now();
  let said = '';
  let renewedMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    const next = nextStep(await view.look(), rotation);
    // `settle` is no longer about calls: who believes the old key believes one that nobody uses.
    if (next.laggards.length === 0) return next;
    const nowMs = performance.now();
    if (next.step === 'retire' && nowMs - renewedMs > RENEW_EVERY_MS) {
      renewedMs = nowMs;
      askToRenew(view.ctl, view.lattice);
    }
    const lines = laggardLines(next.laggards);
    if (lines !== said) say(`waiting to ${WHAT[next.step].split(',')[0]}\n${lines}`);
    said = lines;
    if (nowMs - startMs > timeoutMs) {
      throw new TrellisError('TRELLIS_ROTATION_WAITING', {
        message: `the step "${next.step}" still waits for ${next.laggards.length} host(s):\n${lines}`,
        details: { step: next.step, laggards: next.laggards },
      });
    }
    await sleep(LOOK_EVERY_MS);
  }
}

function laggardLines(laggards: readonly Laggard[]): string {
  return laggards.map(({ host, reason }) => `  ${host} ${reason}`).join('\n');
}

async function printPlan(output: Output, view: TrustView, rotation: Rotation): Promise<void> {
  const trust = await view.look();
  const { step: first, laggards } = nextStep(trust, rotation);
  const all = ['add', 'switch', 'retire', 'settle', 'done'] as const;
  const steps = all.slice(all.indexOf(first)).filter((step) => step !== 'settle' || first === 'settle');
  const { epoch, active, issuers } = trust;
  const plan = steps.map((step) => ({ step, what: WHAT[step] }));
  output.result({ lattice: view.lattice, dryRun: true, epoch, active, issuers, plan, laggards }, (print) => {
    print(`Lattice ${view.lattice} is at epoch ${epoch}; nothing was changed. What is still to do:\n`);
    for (const line of tableLines(
      ['STEP', 'WHAT'],
      plan.map(({ step, what }) => [step, what]),
    ))
      print(line);
    if (laggards.length > 0) print(`\nThe first of them waits for\n${laggardLines(laggards)}`);
  });
}
