import { lstatSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fillTemplate } from '../../src/auth/permission-templates.ts';
import type { NatsUser, TestAccount } from './accounts.ts';
import { asUserPermissions } from './permitted-users.ts';

/** How a file gets its next content. */
export type Replacement = 'rename' | 'in place' | 'link';

let versions = 0;

/** Replaces a file as an operator should, as they often do, or as Kubernetes does with the files of a secret. */
export function replaceFile(file: string, text: string, how: Replacement = 'rename'): void {
  if (how === 'in place') {
    writeFileSync(file, text);
    return;
  }
  if (how === 'rename') {
    writeFileSync(`${file}.new`, text, { mode: 0o600 });
    renameSync(`${file}.new`, file);
    return;
  }
  // `file` is a link through another link to a folder of this version: the next version is one rename of that one.
  const folder = dirname(file);
  const name = basename(file);
  const [version, data] = [`..v${++versions}`, `..data-${name}`];
  mkdirSync(join(folder, version));
  writeFileSync(join(folder, version, name), text, { mode: 0o600 });
  symlinkSync(version, join(folder, `${data}.tmp`));
  renameSync(join(folder, `${data}.tmp`), join(folder, data));
  if (lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() === true) return;
  symlinkSync(join(data, name), `${file}.tmp`);
  renameSync(`${file}.tmp`, file);
}

/** The credentials of one partition of a member, in a file of their own. */
export class RotatingCredentials {
  readonly file: string;
  readonly #account: TestAccount;
  readonly #kind: string;
  readonly #lattice: string;
  #user: NatsUser;

  /** @param kind name of a permission template, such as `host-rpc` */
  constructor(file: string, account: TestAccount, kind: string, lattice: string) {
    this.file = file;
    this.#account = account;
    this.#kind = kind;
    this.#lattice = lattice;
    this.#user = this.#add();
    replaceFile(file, this.text);
  }

  get text(): string {
    return readFileSync(this.#user.credsFile, 'utf8');
  }

  /** Makes credentials of a new user, and puts them into the file. */
  replace(how: Replacement): void {
    this.#user = this.#add();
    replaceFile(this.file, this.text, how);
  }

  /** Makes a new JWT for the same user, and puts it into the file. */
  renew(how: Replacement): void {
    this.#user = this.#account.renewUser(this.#user, this.#rights);
    replaceFile(this.file, this.text, how);
  }

  #add(): NatsUser {
    return this.#account.addUser(this.#kind, this.#rights);
  }

  get #rights(): ReturnType<typeof asUserPermissions> {
    const rights = asUserPermissions(fillTemplate(this.#kind, { lattice: this.#lattice }));
    const own = (subjects: readonly string[]): string[] => subjects.map((each) => each.replaceAll('{{subject()}}', '{user}'));
    return { ...rights, publish: own(rights.publish ?? []), subscribe: own(rights.subscribe ?? []) };
  }
}
