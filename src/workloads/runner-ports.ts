import type { ComponentPorts } from '../component/component.ts';
import type { ErrorCode } from '../errors.ts';
import { functionName, instanceName, linkKey, linkName } from '../ids.ts';
import type { Invocation, InvocationEvents } from '../invocation/outbound.ts';
import type { WasmbusImports } from '../invocation/wasmbus/imports.ts';
import { childTraceparent } from '../telemetry/trace.ts';
import { LateImport } from './late-import.ts';
import type { ServeOptions } from './served-component.ts';

/** What a component's runner may ask of this host: outbound calls along links, and the log. */
export function runnerPorts(
  legacy: WasmbusImports,
  options: Pick<ServeOptions, 'links' | 'log' | 'member' | 'metrics'>,
): ComponentPorts {
  const { log, metrics, member, links } = options;
  const invoke: ComponentPorts['invokeImport'] = (call, events) => {
    const link = call.link ?? 'default';
    const target = links.resolve(call.component, link, call.instance);
    // The guest learns that its import failed, and what its language makes of that; the code is for the operator.
    const failed = (code: ErrorCode, detail: string, correlation?: string): void => {
      const operation = `${call.instance}/${call.func}`;
      log.warn(
        {
          code,
          detail,
          component: call.component,
          operation,
          ...(target === undefined ? {} : { target }),
          ...(correlation === undefined ? {} : { correlation }),
        },
        'import failed',
      );
      events.fail(`${code}: ${detail}`);
    };
    if (target === undefined) {
      // In the words of 1.x hosts, which people search for.
      const detail = links.hasName(call.component, link)
        ? `failed to find a configured link with name \`${link}\` from component \`${call.component}\` for \`${linkKey(call.instance)}\``
        : `link \`${link}\` not found for instance \`${linkKey(call.instance)}\``;
      failed('TRELLIS_LINK_MISSING', detail);
      return { sendPath() {}, cancel() {} };
    }
    const traceparent = childTraceparent(call.trace);
    const timeoutMs = Math.max(1, call.deadlineMs - member.clock.monotonicMs());
    // The runner's buffer is only ours until this returns, and the token is signed at the end of the turn.
    const params = new Uint8Array(call.params);
    const peer = links.legacy(call.component, link, call.instance);
    if (peer !== undefined) {
      const request = legacy.callFor(peer, call.instance, call.func);
      const { invoker } = member.wasmbus;
      if (!('code' in request) && invoker !== undefined) {
        const handle = invoker.invoke(
          { ...request, params, timeoutMs, traceparent },
          { done: (result) => events.result(result, false), fail: failed },
        );
        return { sendPath() {}, cancel: () => handle.cancel() };
      }
      if ('code' in request) failed(request.code, request.detail);
      else failed('TRELLIS_WASMBUS_UNSIGNED', 'trust.wasmbus.seedFile is not set');
      return { sendPath() {}, cancel() {} };
    }
    const invocation: Invocation = {
      origin: call.component,
      link: linkName(link),
      target,
      instance: instanceName(call.instance),
      func: functionName(call.func),
      params,
      timeoutMs,
      depth: call.depth,
      asyncResult: call.asyncResult,
      pendingParams: call.hasPending,
      ...(traceparent === undefined ? {} : { traceparent }),
    };
    const shared = links.shared(call.component, link, call.instance);
    const ends: InvocationEvents = {
      done: (result, open) => events.result(result, open),
      path: (path, bytes, eof) => events.path(path, bytes, eof),
      fail: failed,
      cut: failed,
    };
    return shared === undefined ? member.invoker.invoke(invocation, ends) : member.shared.invoke(shared, invocation, ends);
  };
  return {
    log,
    clock: member.clock,
    onRunnerLost: (component) => metrics.runnerRestarted(component),
    onGuestLog: (component, level, line, context) =>
      log[level]({ component, ...(context === undefined ? {} : { context }), guest: line }, 'guest'),
    hasLink: (component, name, iface) => links.resolve(component, name, iface) !== undefined,
    invokeImport: (call, events) => {
      const isLinked = links.resolve(call.component, call.link ?? 'default', call.instance) !== undefined;
      const known = isLinked ? undefined : links.lookups.lookUp(call.component);
      if (known === undefined) return invoke(call, events);
      // The runner's buffer is only ours until this returns.
      const kept = { ...call, params: new Uint8Array(call.params) };
      return new LateImport(
        known,
        () => invoke(kept, events),
        (detail) => events.fail(detail),
      );
    },
  };
}
