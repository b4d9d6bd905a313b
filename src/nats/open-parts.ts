import { type Clock, systemClock } from '../clock.ts';
import { TrellisError } from '../errors.ts';
import { latticeName } from '../ids.ts';
import { Alarms } from '../telemetry/alarms.ts';
import type { ConnectionEvent } from './connection-events.ts';
import { exposedFiles, openCredentials } from './credentials.ts';
import { dial, type DialOptions } from './dial.ts';
import { type Endpoints, resolveEndpoints } from './endpoint.ts';
import type { Line } from './line.ts';
import { LoginFiles } from './login-files.ts';
import type { PartitionOptions } from './partition.ts';
import { openTlsFiles } from './tls-files.ts';

type DialFrom = Pick<DialOptions, 'credentials' | 'tls' | 'servers'>;

/** What a connection is made of: settings that have been judged, and what follows from them. */
export interface ConnectionParts {
  readonly options: PartitionOptions;
  readonly endpoints: Endpoints;
  /** What the files held. */
  readonly first: DialFrom;
  readonly dial: (from: DialFrom) => Promise<Line>;
  /** Begins to watch the files. */
  readonly files: (onLooked: () => void) => LoginFiles;
  readonly alarms: Alarms;
  readonly clock: Clock;
  readonly onEvent: (line: Line, event: ConnectionEvent) => void;
}

/** Judges settings and reads the files they name. @throws what `connectPartition` throws before dialling */
export function partsOf(options: PartitionOptions, onEvent: ConnectionParts['onEvent']): ConnectionParts {
  const { partition, servers, tls, log } = options;
  latticeName(options.lattice);
  const endpoints = resolveEndpoints(servers, tls, options.allowPlaintext);
  const fields = { partition, servers: endpoints.servers };
  const credentials = openCredentials(options, (seed) => log.scrubber.register(seed));
  if (credentials === undefined && tls?.certFile === undefined && !endpoints.loopback && options.allowAnonymous !== true) {
    throw new TrellisError('TRELLIS_NATS_CREDENTIALS_REQUIRED', {
      message: `the ${partition} connection to ${endpoints.servers.join(', ')} has no credentials`,
    });
  }
  for (const file of exposedFiles(options)) {
    log.warn({ ...fields, file }, 'other users of this machine can read this credentials file; chmod 600 it');
  }
  const tlsFiles = openTlsFiles(endpoints.tls);
  const clock = options.clock ?? systemClock;
  const alarms = options.alarms ?? new Alarms(log, clock);
  return {
    options,
    endpoints,
    first: { credentials: credentials?.current, tls: tlsFiles?.current },
    dial: (from) => dial({ partition: options, endpoints, ...from, log, onEvent }),
    files: (onLooked) =>
      new LoginFiles({
        partition,
        files: options,
        credentials,
        tls: tlsFiles,
        alarms,
        clock,
        log: log.child({ partition }),
        onLooked,
        pollMs: options.filesPollMs,
      }),
    alarms,
    clock,
    onEvent,
  };
}
