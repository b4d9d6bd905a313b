import { entry, EXIT, type CatalogueEntry } from './entry.ts';

/** A host from its start on: its lattice, reload, state and audit. */
export const HOST_ERRORS = {
  TRELLIS_HOST_START: entry(
    'system',
    EXIT.unexpected,
    false,
    'The host could not start.',
    'Look at the cause; trellis host --check-config lists configuration problems.',
  ),
  TRELLIS_LATTICE_LOST: entry(
    'peer',
    EXIT.latticeLost,
    true,
    'A connection to the lattice ended for good.',
    'Check the NATS server and the credentials, then start the host again; a supervisor does so by itself.',
  ),
  TRELLIS_HOST_BUSY: entry(
    'system',
    EXIT.unexpected,
    true,
    'The host is starting or stopping, and takes no new configuration.',
    'Send it again once /readyz is 200; a stopping host reads it at its next start anyway.',
  ),
  TRELLIS_RELOAD_REFUSED: entry(
    'user',
    EXIT.config,
    false,
    'A configuration that was read again has errors; each has a line of its own, and the one before stays in force.',
    'Correct them (node host.js --check-config lists them too), then send HUP again.',
  ),
  TRELLIS_RELOAD_RESTART: entry(
    'user',
    EXIT.config,
    false,
    'Settings have changed that a running host does not take over.',
    'Restart the host when it suits; all other changes are in force.',
  ),
  TRELLIS_HOST_DEGRADED: entry(
    'system',
    EXIT.unexpected,
    true,
    'The host goes on, but not with everything: the reasons stand beside this code, in the log and on /readyz.',
    'Restore what the reason names; the host recovers by itself and says so.',
  ),
  TRELLIS_STATE_DIR: entry(
    'user',
    EXIT.config,
    false,
    'The folder for what must survive a crash could not be made.',
    'Choose one that this user may write: stateDir for a host, --state-dir for trellis up.',
  ),
  TRELLIS_STATE_DIR_BUSY: entry(
    'user',
    EXIT.config,
    true,
    'Another development lattice runs in the same state folder.',
    'Stop it, or give this one a folder of its own: trellis up --state-dir DIR',
  ),
  TRELLIS_AUDIT_FILE: entry(
    'user',
    EXIT.config,
    false,
    'The audit file cannot be written.',
    'Name a file in a folder that this user may write: audit.file.',
  ),
} as const satisfies Record<string, CatalogueEntry>;
