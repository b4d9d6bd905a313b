import { entry, EXIT, type CatalogueEntry } from './entry.ts';

/** What a host says of the control messages it gets. */
export const CONTROL_ERRORS = {
  TRELLIS_CONTROL_IGNORED: entry(
    'denied',
    EXIT.denied,
    false,
    'A message on a control subject was no request: it named no inbox for an answer, or a server sent what it keeps.',
    'If a tool of yours sent it, have it ask with an inbox for the answer. Otherwise find out who may use the ctl account.',
  ),
  TRELLIS_CONTROL_DENIED: entry(
    'denied',
    EXIT.denied,
    false,
    'The host does not carry out this control request from whoever sent it: it was not signed, or not by somebody with the right to it.',
    'Sign it: trellis … --sign-seed-file FILE --sign-delegation-file FILE (docs/lattice.md); the detail says what was wrong with it.',
  ),
  TRELLIS_CONTROL_FAILED: entry(
    'user',
    EXIT.unexpected,
    false,
    'A control request could not be carried out; the answer and the record say why.',
    'Do what the answer says, and send it again.',
  ),
  TRELLIS_CONTROL_BUSY: entry(
    'peer',
    EXIT.unreachable,
    true,
    'A host gets more control requests, or larger ones, than it takes.',
    'Send fewer at once; a host takes 2,000 a second, each of 1 MiB at most.',
  ),
} as const satisfies Record<string, CatalogueEntry>;
