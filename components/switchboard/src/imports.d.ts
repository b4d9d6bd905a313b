// What `wit/deps` says, for the compiler.
declare module 'trellis-samples:hello/greeting@0.1.0' {
  export function greet(name: string): string;
}
declare module 'wasi:config/store@0.2.0-draft' {
  export function get(key: string): string | undefined;
  export function getAll(): [string, string][];
}
declare module 'wasi:logging/logging@0.1.0-draft' {
  export function log(level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'critical', context: string, message: string): void;
}
declare module 'wasmcloud:bus/lattice@2.0.0' {
  export interface CallTargetInterface {
    readonly resource: 'call-target-interface';
  }
  export const CallTargetInterface: new (namespace: string, packageName: string, interfaceName: string) => CallTargetInterface;
  export function setLinkName(name: string, interfaces: CallTargetInterface[]): void;
}
