import type { RunningComponent } from '../component/component.ts';
import { functionName, instanceName, type ComponentId, type LatticeName } from '../ids.ts';
import type { Bus, BusSubscription } from '../wrpc/bus.ts';
import type { Inbox } from '../wrpc/inbox.ts';
import { serveFunction, type IncomingInvocation } from '../wrpc/server.ts';
import { invocationSubject, queueGroup } from '../wrpc/subjects.ts';
import type { ServedFunction } from './path-options.ts';

/** What subscribing one component takes. */
export interface SubscribeOptions {
  readonly bus: Bus;
  readonly inbox: Inbox;
  readonly lattice: LatticeName;
  readonly id: ComponentId;
  readonly component: RunningComponent;
  /**
   * Name of the component's world (`ns:pkg/world@1.0.0`), if known. Functions of the world itself are served under the empty
   * instance, as wasmCloud hosts call them, and under this one, as generated Rust bindings do.
   */
  readonly worldName?: string;
  /** Makes the handler of one function: the path. */
  readonly handler: (fn: ServedFunction) => (message: IncomingInvocation) => void;
}

/** True for the `init` that QuickJS components export from their world: the engine's own, no operation of the component. */
export function isEngineFunction(instance: string, func: string): boolean {
  return instance === '' && func === 'init';
}

/** Subscribes every exported function of a component in its queue group. Flush the connection before calling it served. */
export function subscribeComponent(options: SubscribeOptions): BusSubscription[] {
  const { bus, inbox, lattice, id } = options;
  const queue = queueGroup({ lattice, component: id });
  const subscriptions: BusSubscription[] = [];
  for (const entry of options.component.exports) {
    if (isEngineFunction(entry.instance, entry.func)) continue;
    const func = functionName(entry.func);
    const names = entry.instance === '' && options.worldName !== undefined ? ['', options.worldName] : [entry.instance];
    for (const name of names) {
      const instance = instanceName(name);
      const operation = entry.instance === '' ? func : `${entry.instance}/${func}`;
      const fn: ServedFunction = {
        target: id,
        instance,
        func,
        exportIndex: entry.index,
        asyncParams: entry.asyncParams,
        asyncResult: entry.asyncResult,
        operation,
      };
      const subject = invocationSubject({ lattice, component: id, instance, func });
      subscriptions.push(serveFunction({ bus, inbox, subject, queue, onInvocation: options.handler(fn) }));
    }
  }
  return subscriptions;
}
