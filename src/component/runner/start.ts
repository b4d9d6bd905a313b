import type { ComponentTypes } from '../../wit/types.ts';

/** What the host tells a runner once, as JSON in the first frame. */
export interface RunnerStart {
  /** Absolute path of the generated program. */
  readonly entry: string;
  /** Absolute folder of the core modules. */
  readonly dir: string;
  readonly asyncMode: 'sync' | 'jspi';
  readonly types: ComponentTypes;
  readonly policy: 'fresh' | 'reuse';
  readonly maxInstances: number;
  /** Calls one reused instance serves before it is replaced. */
  readonly callsPerInstance: number;
  /** Largest root parameters of an import, bytes. */
  readonly maxParamsBytes: number;
  /** Largest result of a call, its streams included, bytes. */
  readonly maxResultBytes: number;
  readonly env: Readonly<Record<string, string>>;
  readonly args: readonly string[];
  readonly config: Readonly<Record<string, string>>;
  readonly grants: {
    readonly preopens?: readonly { readonly guest: string; readonly host: string; readonly writable: boolean }[];
    readonly network?: readonly string[];
  };
}
