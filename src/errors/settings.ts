import { entry, EXIT, type CatalogueEntry } from './entry.ts';

/** Names, the command line, settings, and what refuses to start. */
export const SETTINGS_ERRORS = {
  TRELLIS_ID_INVALID: entry(
    'user',
    EXIT.usage,
    false,
    'A name holds characters that cannot be part of a NATS subject, or is too long.',
    'Use A-Z, a-z, 0-9, _ and - only.',
  ),
  TRELLIS_USAGE: entry('user', EXIT.usage, false, 'The command line could not be understood.', 'Run the command with --help.'),
  TRELLIS_INTERNAL: entry(
    'system',
    EXIT.unexpected,
    false,
    'Trellis met a state it did not expect.',
    'Report it with the log lines around it.',
  ),
  // --- config
  TRELLIS_CONFIG_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'The configuration has problems; each is reported with its START code.',
    'Run node host.js --check-config and follow the fix of each problem.',
  ),
  TRELLIS_HOST_DUPLICATE: entry(
    'denied',
    EXIT.config,
    false,
    'Another process runs under the identity of this host.',
    'Stop the other process, or give this host a seed of its own: trellis keys gen server --out <file>, hostSeedFile.',
  ),
  TRELLIS_START_REFUSED: entry(
    'denied',
    EXIT.config,
    false,
    'The host does not serve with these NATS servers and credentials; each reason is reported with its START code.',
    'Run trellis doctor, which shows every check, and follow the fix of each.',
  ),
  TRELLIS_ADMIN_LISTEN: entry(
    'user',
    EXIT.config,
    false,
    'Health and metrics cannot listen on the configured address.',
    'Set admin.listen to a free address:port, to 127.0.0.1:0 for any free port, or to false.',
  ),
} as const satisfies Record<string, CatalogueEntry>;
