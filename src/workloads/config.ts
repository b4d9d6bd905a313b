import type { ConfigBundle } from '../control/lattice-data.ts';
import { TrellisError } from '../errors.ts';

type Values = Readonly<Record<string, string>>;

/** Opens configurations by their names. @throws TRELLIS_CONFIG_MISSING, TRELLIS_LATTICE_DATA */
export type OpenConfig = (names: readonly string[]) => Promise<ConfigBundle>;

/** Names that begin like this are references to secrets, as in 1.x: also without the underscore. */
const SECRET = 'SECRET';

/** What a component reads through `wasi:config`: values of its own, and over them those of the lattice as they are now. */
export class WorkloadConfig {
  /** The names that the lattice gave, in order. */
  readonly names: readonly string[];
  readonly #own: Values;
  readonly #bundle: ConfigBundle | undefined;
  #stop: () => void = () => {};

  private constructor(names: readonly string[], own: Values, bundle: ConfigBundle | undefined) {
    this.names = names;
    this.#own = own;
    this.#bundle = bundle;
  }

  /** @throws TRELLIS_SECRETS_UNCONFIGURED, TRELLIS_CONFIG_MISSING, TRELLIS_LATTICE_DATA */
  static async open(names: readonly string[], own: Values, open: OpenConfig): Promise<WorkloadConfig> {
    if (names.some((name) => name.startsWith(SECRET))) throw new TrellisError('TRELLIS_SECRETS_UNCONFIGURED');
    return new WorkloadConfig([...names], own, names.length === 0 ? undefined : await open(names));
  }

  /** True if it was made of these names. */
  isOf(names: readonly string[]): boolean {
    return names.length === this.names.length && names.every((name, at) => name === this.names[at]);
  }

  /** The values as they are now. */
  values(): Values {
    return { ...this.#own, ...this.#bundle?.values() };
  }

  /** Gives `take` the values whenever they change, in place of whoever got them before. */
  follow(take: (values: Values) => void): void {
    this.#stop();
    this.#stop = this.#bundle?.onChange(() => take(this.values())) ?? (() => {});
  }

  /** Follows nothing any more. */
  close(): void {
    this.#stop();
    this.#bundle?.close();
  }
}
