/**
 * The port between the control interface, which reads requests, and what runs components. Shapes only: nothing here is written
 * to the wire as it stands.
 */

/** A component that runs on this host, as inventories and events show it. */
export interface RunningWorkload {
  readonly id: string;
  /** The reference exactly as it was asked for, `file://` included. */
  readonly imageRef: string;
  /** The name in its embedded claims; absent without. */
  readonly name?: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** The revision in its embedded claims, or 0. */
  readonly revision: number;
  /** Invocations at once, 1 to 4294967295, which is no limit but the host's own. */
  readonly maxInstances: number;
  /** `max_memory_limit` and `max_execution_time` as they were asked for, or `null`. */
  readonly limits: Readonly<Record<string, string>> | null;
}

/** What `component.scale` asks for. */
export interface ScaleRequest {
  readonly componentId: string;
  readonly componentRef: string;
  /** Invocations at once; 0 stops the component, 4294967295 is no limit but the host's own. */
  readonly count: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly limits?: Readonly<Record<string, string>>;
  /** As the request says it; events repeat it. May be empty. */
  readonly hostId: string;
  /**
   * Names of configurations, later ones win; names beginning with `SECRET` are references to secrets. Those that it has stay when this
   * is absent. `wash` and `wadm` always name them, and mean none by an empty list.
   */
  readonly config?: readonly string[];
  /** Whether another reference than the one that runs may take its place. */
  readonly allowUpdate: boolean;
}

/** What `component.update` asks for. */
export interface UpdateRequest {
  readonly componentId: string;
  readonly newComponentRef: string;
  /** Those that run stay when this is absent. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What is answered to a request at once; what comes of it is told in events. */
export interface WorkloadReply {
  readonly success: boolean;
  readonly message: string;
}

/** What runs components for the lattice. */
export interface Workloads {
  /** All that run now, in the order of their ids. Never waits for pulls or starts. */
  list(): readonly RunningWorkload[];
  /** True if a component of this id runs here. */
  has(id: string): boolean;
  /** The reply at once; the work goes on behind it and ends in events. Never throws. */
  scale(request: ScaleRequest): WorkloadReply;
  /** As {@link scale}. */
  update(request: UpdateRequest): WorkloadReply;
}

/**
 * The annotations of a component that runs once a request has been carried out. Without any in it they stay, for a scheduler would lose
 * sight of the component without them; an empty map is what `wash` sends of a user who gave none.
 */
export function annotationsAfter(
  before: RunningWorkload['annotations'] | undefined,
  asked: RunningWorkload['annotations'] | undefined,
): RunningWorkload['annotations'] {
  return before === undefined || (asked !== undefined && Object.keys(asked).length > 0) ? (asked ?? {}) : before;
}
