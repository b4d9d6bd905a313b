import type { Clock } from '../clock.ts';
import type { RunningComponent } from '../component/component.ts';
import type { ComponentId } from '../ids.ts';
import type { WorkBudget } from '../trust/work-budget.ts';
import type { TokenSigner } from '../trust/signer.ts';
import type { Admission } from './admit.ts';
import type { ForeignGates } from './foreign/gates.ts';
import type { Addressee, Gate } from './gate.ts';
import type { Introductions } from './introductions.ts';
import type { PathObserver } from './observer.ts';

/** Sizes and times that bound one invocation. */
export interface PathLimits {
  readonly maxParamsBytes: number;
  /** Longest chain of components calling components. */
  readonly maxCallDepth: number;
  /** Time for a caller to send the parameters it announced. */
  readonly paramsTimeoutMs: number;
}

/** What the path of one component is made of. */
export interface PathOptions {
  readonly id: ComponentId;
  /** What admission counts under. */
  readonly revision: string;
  readonly component: Pick<RunningComponent, 'call'>;
  readonly timeoutMs: number;
  /** Invocations of this component in flight at once: its instances and its queue. */
  readonly maxInFlight: number;
  readonly admission: Admission;
  readonly gate: Gate;
  /** Judge what comes from other NATS accounts. */
  readonly foreign: Pick<ForeignGates, 'gateFor'>;
  readonly signer: TokenSigner;
  readonly introductions: Introductions;
  readonly limits: PathLimits;
  /** Runs a call only when its caller has confirmed, to this host, that it shall: once in the lattice. Under `enforce` only. */
  readonly confirm: boolean;
  readonly observer: PathObserver;
  readonly clock: Clock;
  /** Bounds the answers to what is not let in; beyond it they are left out. */
  readonly refusals: WorkBudget;
}

/** One function of the component, as the lattice addresses it. */
export interface ServedFunction extends Addressee {
  readonly exportIndex: number;
  /** Whether parameters hold streams or futures. */
  readonly asyncParams: boolean;
  /** Whether the result does. */
  readonly asyncResult: boolean;
  /** `instance/function` for metrics and log. */
  readonly operation: string;
}
