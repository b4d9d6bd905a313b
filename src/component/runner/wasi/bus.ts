import { WitError } from './wit-error.ts';

/** What hosts of wasmCloud 1.x offer beside WASI: `wasmcloud:bus`, `wasmcloud:secrets` and `wasmcloud:identity`. */

/** Chooses the link that further calls of some interfaces (`ns:pkg/iface`) take; resolves with why not. */
export type SetLinkName = (name: string, interfaces: readonly string[]) => Promise<string | undefined>;

/** `wasmcloud:bus/lattice` `call-target-interface`. */
class CallTargetInterface {
  readonly name: string;

  constructor(namespace: string, packageName: string, interfaceName: string) {
    this.name = `${namespace}:${packageName}/${interfaceName}`;
  }
}

/** Returns `wasmcloud:bus/lattice`: of 2.0.x, and, under {@link SILENT_BUS}, of 1.0.0, whose `set-link-name` cannot say that there is no such link. */
export function createBus(setLinkName: SetLinkName): Record<string, object> {
  const set = async (name: string, interfaces: readonly CallTargetInterface[]): Promise<string | undefined> =>
    setLinkName(
      name,
      interfaces.map((each) => each.name),
    );
  return {
    'wasmcloud:bus/lattice': {
      CallTargetInterface,
      setLinkName: async (name: string, interfaces: readonly CallTargetInterface[]) => {
        const refused = await set(name, interfaces);
        if (refused !== undefined) throw new WitError(refused) as unknown as Error;
      },
    },
    [SILENT_BUS]: {
      CallTargetInterface,
      setLinkName: async (name: string, interfaces: readonly CallTargetInterface[]) => void (await set(name, interfaces)),
    },
  };
}

/** Where {@link createBus} has the form of 1.0.0. */
export const SILENT_BUS = 'wasmcloud:bus/lattice, silent';

/** `wasmcloud:secrets` `secret`. */
class Secret {
  readonly kind = 'secret';
}

/** `wasmcloud:secrets`: no component has been given any, so none is found. */
export const secrets: Readonly<Record<string, object>> = {
  'wasmcloud:secrets/store': {
    Secret,
    get: () => {
      throw new WitError({ tag: 'not-found' });
    },
  },
  'wasmcloud:secrets/reveal': {
    Secret,
    reveal: () => {
      throw new Error('there is no such secret');
    },
  },
};

/** `wasmcloud:identity/store`: a workload has no identity here beyond its host's. */
export const identity: Readonly<Record<string, object>> = {
  'wasmcloud:identity/store': { get: () => undefined },
};
