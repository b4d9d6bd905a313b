import { callTyped } from '../../src/cli/call-typed.ts';
import { findOperation } from '../../src/cli/find-operation.ts';
import type { Caller } from '../../src/caller.ts';
import type { Json } from '../../src/wit/json.ts';

const TIMEOUT_MS = 20_000;

/** Calls `interface.function` of a component with arguments as JSON, as `trellis call` does, along the caller's link of this name. */
export async function callByJson(
  caller: Caller,
  component: string,
  operation: string,
  args: readonly unknown[],
  link = 'default',
): Promise<Json> {
  const { types } = await caller.describe(component, TIMEOUT_MS);
  const { json } = await callTyped({
    caller,
    target: component,
    operation: findOperation(types, operation),
    args,
    link,
    timeoutMs: TIMEOUT_MS,
    stdin: (async function* () {})(),
  });
  return json;
}
