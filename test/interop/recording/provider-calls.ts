import { setTimeout as sleep } from 'node:timers/promises';
import { callByJson } from '../../support/call-by-json.ts';
import type { Json } from '../../support/golden.ts';
import { CallRecorder, type GoldenCallsFile, type GoldenCallsStep } from '../../support/golden-calls.ts';
import { until } from '../../support/raw-peer.ts';
import { LINKS, startProviderLattice, type ProviderHost, type ProviderLattice } from '../provider-lattice.ts';
import { PROVIDER_STEPS, type ProviderStep } from './provider-steps.ts';

/** Does what is to be done with these providers, and gives the calls that it took. */
export async function recordProviderCalls(
  host: ProviderHost,
  names: readonly string[],
): Promise<Pick<GoldenCallsFile, 'server' | 'steps'>> {
  await using lab = await startProviderLattice('observe', host);
  lab.nc.subscribe('inner', {
    callback: (_error, message) => void message.respond(Buffer.concat([Buffer.from('inner '), message.data])),
  });
  const pairs = LINKS.map(({ source, target }) => `${source} ${target}`);
  const steps: GoldenCallsStep[] = [];
  for (const step of names.flatMap((name) => PROVIDER_STEPS[name]!)) {
    await using recorder = await CallRecorder.start(lab.server.url, pairs);
    let result: Json | undefined;
    // The link reaches a provider a moment after it was put.
    const succeeds = async (): Promise<boolean> => {
      await recorder.take();
      result = await take(lab, step).catch(() => undefined);
      return result !== undefined;
    };
    await until(nameOf(step), succeeds, 30_000);
    // What goes on after the answer, such as the end of a stream.
    await sleep(300);
    const made = 'call' in step ? { call: step.call } : {};
    steps.push({ name: nameOf(step), ...made, result: result!, calls: await recorder.take() });
    console.log(nameOf(step), JSON.stringify(result).slice(0, 100));
  }
  return { server: `nats-server ${lab.server.version}`, steps };
}

function nameOf(step: ProviderStep): string {
  if ('call' in step) return `${step.call[0]} ${step.call[1]}`;
  return 'http' in step ? `http ${step.http}` : `message ${step.message}`;
}

async function take(lab: ProviderLattice, step: ProviderStep): Promise<Json> {
  if ('call' in step) {
    const [component, operation, ...args] = step.call;
    return callByJson(lab.caller, component, operation, args);
  }
  if ('message' in step) return (await lab.nc.request('orders.one', step.message, { timeout: 2_000 })).string();
  const headers = Object.entries(step.headers ?? {}).map(([name, value]) => [name, value.replace('{elsewhere}', lab.elsewhere)]);
  const response = await fetch(lab.url + step.http, {
    headers: Object.fromEntries(headers) as Record<string, string>,
    ...(step.body === undefined ? {} : { method: 'POST', body: step.body }),
  });
  return { status: response.status, body: await response.text() };
}
