import { entry, EXIT, type CatalogueEntry } from './entry.ts';

/** The operator, accounts and users of NATS, and what each may do. */
export const AUTH_ERRORS = {
  TRELLIS_AUTH_STORE: entry(
    'user',
    EXIT.config,
    false,
    'The store of operator, accounts and users cannot be used.',
    'Name it with --store or TRELLIS_AUTH_STORE, or make one: trellis auth init',
  ),
  TRELLIS_AUTH_STORE_BUSY: entry(
    'user',
    EXIT.config,
    true,
    'Another command changes the same store of accounts and users.',
    'Wait until it is done and try again.',
  ),
  TRELLIS_AUTH_EXISTS: entry(
    'user',
    EXIT.usage,
    false,
    'What was to be made exists already, and is left as it is.',
    'Choose another name; trellis auth show lists what there is.',
  ),
  TRELLIS_AUTH_UNKNOWN: entry(
    'user',
    EXIT.notFound,
    false,
    'The store has no tenant, account, user or key of this name.',
    'See what there is with trellis auth show.',
  ),
  TRELLIS_AUTH_KEY_MISSING: entry(
    'user',
    EXIT.config,
    false,
    'The private key that has to sign is not in the store.',
    'Put its seed back: DIR/keys/<first letter>/<next two>/<public key>.nk, mode 0600.',
  ),
  TRELLIS_AUTH_JWT_INVALID: entry(
    'user',
    EXIT.config,
    false,
    'A JWT of the store is not sound, or was signed by somebody who may not.',
    'Restore the file from a copy, or make operator, account or user again.',
  ),
  TRELLIS_AUTH_REVOKED: entry(
    'user',
    EXIT.denied,
    false,
    'The user was revoked, and new credentials would count again.',
    'If that is meant: trellis auth revoke NAME --undo, or give it another key with trellis auth rotate NAME --new-key.',
  ),
  TRELLIS_AUTH_ROTATION: entry(
    'user',
    EXIT.usage,
    false,
    'This step of replacing a signing key cannot be taken yet.',
    'Run trellis auth rotate with the same flags: it says how far it is and takes the next step.',
  ),
  TRELLIS_AUTH_RESOLVER: entry(
    'user',
    EXIT.config,
    false,
    'No server has a resolver to which accounts can be pushed: it has them from its configuration, or from a web server.',
    'Export again (trellis auth export --force) and reload the server, which drops all connections; or export it with --resolver full.',
  ),
  TRELLIS_AUTH_CLAIMS: entry(
    'user',
    EXIT.usage,
    false,
    'A JWT would say what no server accepts, or more than was meant.',
    'Correct the value that the message names.',
  ),
  TRELLIS_AUTH_SHARE: entry(
    'user',
    EXIT.usage,
    false,
    'A share cannot be accepted: it is damaged, over, for another account, or not signed by the account that shares.',
    'Ask the tenant that shares for a new one: trellis auth share',
  ),
  // --- permission templates
  TRELLIS_PERMISSION_TEMPLATE: entry(
    'user',
    EXIT.config,
    false,
    'A permission template grants more than a template may, or is not of the right form.',
    'Correct the named entry of the file; the files in config/permissions show the form.',
  ),
  TRELLIS_PERMISSION_VALUE: entry(
    'user',
    EXIT.usage,
    false,
    'The permissions of a user cannot be made from these values.',
    'Use values of A-Z, a-z, 0-9, _ and - only, and the names that the template in config/permissions has.',
  ),
} as const satisfies Record<string, CatalogueEntry>;
