/**
 * Trellis as a library: run a host inside another program, or call into a lattice from one. What is exported here is meant to stay;
 * everything else may change between versions.
 */
export { connectCaller, type Caller, type CallerOptions, type CallRequest } from './caller.ts';
export { systemClock, type Clock } from './clock.ts';
export { loadConfig, type LoadedConfig, type LoadOptions } from './config/load.ts';
export { parseConfig, type HostConfig, type HostConfigInput } from './config/schema.ts';
export type { ComponentDescription } from './control/describe.ts';
export { startDevelopmentLattice, type DevelopmentLattice, type DevelopmentOptions } from './development.ts';
export { CATALOGUE, EXIT, TrellisError, type ErrorCategory, type ErrorCode } from './errors.ts';
export { startHost, type Host, type HostOptions } from './host.ts';
export type { ComponentStatus, HostState, HostStatus } from './host/status.ts';
export { createLogger, silentLogger, type Logger, type LoggerOptions } from './telemetry/log.ts';
export { createMetrics, type Metrics } from './telemetry/metrics.ts';
export { SigningKey, type KeyKind } from './trust/nkey.ts';
export { compileFunction, readySource, type FunctionCodec } from './wit/codec.ts';
export { fromJson, toJson, type Json } from './wit/json.ts';
export type { ComponentTypes, WitFunction, WitInterface, WitType } from './wit/types.ts';
