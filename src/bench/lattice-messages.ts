/** What the process of simulated hosts is started with, as its one argument in JSON. */
export interface SimulationSetup {
  readonly url: string;
  readonly lattice: string;
  readonly hosts: number;
  readonly componentsEach: number;
  readonly heartbeatMs: number;
}

/** What the simulated hosts are asked; they answer each with {@link SimulationFigures} of the time since the last answer. */
export interface SimulationOrder {
  readonly order: 'report';
}

/** What the simulated hosts did. */
export interface SimulationFigures {
  readonly heartbeats: number;
  /** Pings and inventories that were answered. */
  readonly answers: number;
}
