import { TrellisError } from '../../errors.ts';
import { type LeafUser, mayLogIn, readJwtSubject, readSystemAccount } from '../../leaf/leaf-user.ts';
import type { OperatorParts, SidecarAccount } from '../../leaf/sidecar-spec.ts';
import { openStore } from '../auth/store-option.ts';
import { readTextFile } from '../text-file.ts';
import type { ConfigFlags } from './flags.ts';

/**
 * The operator and the accounts that a sidecar in operator mode has to know, from a store or from files of JWTs.
 * @throws TRELLIS_LEAF_INPUT, TRELLIS_CLI_FILE, TRELLIS_AUTH_STORE, TRELLIS_AUTH_JWT_INVALID
 */
export function operatorParts(flags: ConfigFlags, users: { readonly ctl: LeafUser; readonly rpc: LeafUser }): OperatorParts {
  const { jwt, accounts } =
    flags.operatorJwt === undefined ? fromStore(flags) : fromFiles(flags.operatorJwt, flags.accountJwt ?? []);
  const find = (publicKey: string, whose: string): SidecarAccount => {
    const found = accounts.get(publicKey);
    if (found === undefined) throw refuse(`the JWT of the account ${publicKey} (${whose}) is missing`);
    return found;
  };
  const system = readSystemAccount(jwt);
  const own = { ctl: find(users.ctl.account, 'of the ctl user'), rpc: find(users.rpc.account, 'of the rpc user') };
  // Answers come below the keys of the leaf's users alone, so the host has to log in at the sidecar as they do.
  for (const kind of ['ctl', 'rpc'] as const) {
    if (mayLogIn(users[kind], own[kind].jwt, 'STANDARD')) continue;
    throw new TrellisError('TRELLIS_LEAF_INPUT', {
      message: `the ${kind} user is for leaf nodes only, so the host cannot log in with it at a sidecar in operator mode`,
      remedy: 'Make users for both: trellis auth host add NAME --tenant TENANT --leaf-and-host. Or take another form.',
    });
  }
  return {
    jwt,
    ...own,
    system: system === undefined ? undefined : find(system, 'the system account of the operator'),
  };
}

interface Jwts {
  readonly jwt: string;
  readonly accounts: ReadonlyMap<string, SidecarAccount>;
}

function fromStore(flags: ConfigFlags): Jwts {
  const store = openStore(flags);
  const sound = store.accounts().filter((account) => account.ok);
  return {
    jwt: store.operatorJwt(),
    accounts: new Map(sound.map(({ jwt, claims }) => [claims.sub, { publicKey: claims.sub, jwt }])),
  };
}

function fromFiles(operatorFile: string, accountFiles: readonly string[]): Jwts {
  const jwt = readTextFile(operatorFile).trim();
  if (readJwtSubject(jwt)?.startsWith('O') !== true) throw refuse(`${operatorFile} holds no operator JWT`);
  const accounts = accountFiles.map((file): [string, SidecarAccount] => {
    const text = readTextFile(file).trim();
    const publicKey = readJwtSubject(text);
    if (publicKey?.startsWith('A') !== true) throw refuse(`${file} holds no account JWT`);
    return [publicKey, { publicKey, jwt: text }];
  });
  return { jwt, accounts: new Map(accounts) };
}

function refuse(message: string): TrellisError {
  return new TrellisError('TRELLIS_LEAF_INPUT', {
    message,
    remedy: 'Name the store (--store), or the files: --operator-jwt FILE --account-jwt CTL RPC SYSTEM.',
  });
}
