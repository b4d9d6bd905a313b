import type { Caller } from '../../src/caller.ts';
import { expect } from 'vitest';
import type { ErrorCode } from '../../src/errors.ts';
import { componentId, functionName, instanceName, linkName } from '../../src/ids.ts';
import type { SharedTarget } from '../../src/invocation/link-table.ts';
import type { Invocation } from '../../src/invocation/outbound.ts';
import type { Tenant } from './tenants.ts';

/** What {@link TINY} of the trust lattice offers. */
export const BYTES = 'trellis-samples:echo/bytes@0.1.0';

/** Lets `by` import a part of `from` as the component `as` of its own lattice, as two operators would. */
export function importAs(from: Tenant, by: Tenant, component: string, rest: string, as = `a-${component}`): string {
  const subject = `${from.lattice}.${component}.wrpc.0.0.1.${rest}`;
  by.rpc.addImport({
    account: from.rpc.publicKey,
    subject,
    localSubject: `${by.lattice}.${as}.wrpc.0.0.1.${rest}`,
    token: from.rpc.activate(by.rpc.publicKey, subject),
  });
  return subject;
}

/** A private export of one interface, and an import of it. Returns the exported subject. */
export function share(from: Tenant, by: Tenant, component: string, instance: string): string {
  const subject = importAs(from, by, component, `${instance}.>`);
  from.rpc.addExport({ subject, isPrivate: true });
  return subject;
}

/** One call between accounts, with defaults for {@link TINY}. */
export interface SharedTestCall extends Partial<Omit<Invocation, 'params' | 'func' | 'instance' | 'origin' | 'target'>> {
  readonly caller: Caller;
  readonly target: SharedTarget;
  readonly params?: Uint8Array;
  /** Id of the import. */
  readonly as?: string;
  readonly origin?: string;
  readonly instance?: string;
  readonly func?: string;
}

/** Makes the call; its result, or an error with the code it failed with. */
export function callShared(options: SharedTestCall): Promise<Uint8Array> {
  const {
    caller,
    target,
    params = Uint8Array.of(3, 1, 2, 3),
    as = 'a-tiny',
    origin = 'caller',
    instance = BYTES,
    ...more
  } = options;
  const { func = 'echo-bytes', ...rest } = more;
  const invocation: Invocation = {
    link: linkName('default'),
    timeoutMs: 15_000,
    depth: 0,
    ...rest,
    origin: componentId(origin),
    target: componentId(as),
    instance: instanceName(instance),
    func: functionName(func),
    params,
  };
  return new Promise((resolve, reject) => {
    caller.member.shared.invoke(target, invocation, {
      done: (result) => resolve(new Uint8Array(result)),
      fail: (code, detail) => reject(Object.assign(new Error(detail), { code })),
    });
  });
}

/** The failure of such a call. */
export const failing = (code: ErrorCode, message = /./): Error =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as string }) as Error;
