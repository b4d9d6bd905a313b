/** Labels that say on what a host runs; nobody sets them from outside. */
const RESERVED = /^hostcore\./i;
/** Bounds of what a host takes from the lattice: its labels travel with every heartbeat. */
const MAX_LABELS = 256;
const MAX_LABEL_CHARS = 1_024;
const MAX_ALL_CHARS = 64 * 1024;

// Names as Rust has them, by which schedulers of 1.x lattices ask.
const ARCH: Readonly<Record<string, string>> = {
  x64: 'x86_64',
  ia32: 'x86',
  arm64: 'aarch64',
  arm: 'arm',
  loong64: 'loongarch64',
  mips: 'mips',
  mipsel: 'mips',
  ppc64: 'powerpc64',
  riscv64: 'riscv64',
  s390x: 's390x',
};
const OS: Readonly<Record<string, string>> = { darwin: 'macos', win32: 'windows', sunos: 'solaris' };

/** The labels that every host has: `hostcore.arch`, `hostcore.os` and `hostcore.osfamily`, for a machine as Node names it. */
export function hostcoreLabels(arch: string, platform: string): Readonly<Record<string, string>> {
  return {
    'hostcore.arch': ARCH[arch] ?? arch,
    'hostcore.os': OS[platform] ?? platform,
    'hostcore.osfamily': platform === 'win32' ? 'windows' : 'unix',
  };
}

/**
 * The labels of one host: those of its machine, those of its configuration, and over both what was put and deleted on the lattice,
 * which lasts until the host ends.
 */
export class HostLabels {
  readonly #own: Readonly<Record<string, string>>;
  #configured: ReadonlyMap<string, string>;
  readonly #put = new Map<string, string>();
  readonly #deleted = new Set<string>();

  /** @param own - Those of the machine; a configuration may say otherwise. */
  constructor(own: Readonly<Record<string, string>>, configured: Readonly<Record<string, string>>) {
    this.#own = own;
    this.#configured = this.#under(configured);
  }

  /** Takes over the labels of another configuration. True if that changed anything. */
  configure(configured: Readonly<Record<string, string>>): boolean {
    const before = JSON.stringify(this.all());
    this.#configured = this.#under(configured);
    return JSON.stringify(this.all()) !== before;
  }

  /** Sets a label. Returns why not, in the words of a control answer, or `undefined` when it is set. */
  put(key: string, value: string): string | undefined {
    if (RESERVED.test(key)) return 'hostcore.* labels cannot be set dynamically';
    if (key.length > MAX_LABEL_CHARS || value.length > MAX_LABEL_CHARS) {
      return `a label takes at most ${MAX_LABEL_CHARS} characters for its key and for its value`;
    }
    if (this.#get(key) === undefined && this.#count() >= MAX_LABELS) return `a host takes at most ${MAX_LABELS} labels`;
    const others = Object.entries(this.all()).filter(([each]) => each !== key);
    if ([key, value, ...others.flat()].join('').length > MAX_ALL_CHARS) {
      return `the labels of a host take at most ${MAX_ALL_CHARS} characters together`;
    }
    this.#deleted.delete(key);
    this.#put.set(key, value);
    return undefined;
  }

  /** Takes a label away. False if there was none. */
  delete(key: string): boolean {
    if (this.#get(key) === undefined) return false;
    this.#put.delete(key);
    if (this.#configured.has(key)) this.#deleted.add(key);
    return true;
  }

  /** All of them, sorted by key. */
  all(): Readonly<Record<string, string>> {
    const kept = [...this.#configured].filter(([key]) => !this.#deleted.has(key) && !this.#put.has(key));
    return Object.fromEntries([...kept, ...this.#put].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** True if every constraint is a label with exactly this value. */
  matches(constraints: Readonly<Record<string, string>>): boolean {
    return Object.entries(constraints).every(([key, value]) => this.#get(key) === value);
  }

  #get(key: string): string | undefined {
    return this.#put.get(key) ?? (this.#deleted.has(key) ? undefined : this.#configured.get(key));
  }

  #count(): number {
    return Object.keys(this.all()).length;
  }

  #under(configured: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
    return new Map([...Object.entries(this.#own), ...Object.entries(configured)]);
  }
}
