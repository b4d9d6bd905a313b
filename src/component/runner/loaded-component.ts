import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { RunnerStart } from './start.ts';

/** Functions and classes of one instance, as the generated program names them. */
export type Namespace = Readonly<Record<string, unknown>>;

/** The part of the WebAssembly API that is used here; TypeScript has it among the types of browsers only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => CoreModule;
  readonly Instance: new (module: CoreModule, imports: object) => object;
};
declare const coreModule: unique symbol;
/** A compiled core module. */
interface CoreModule {
  readonly [coreModule]: true;
}

type Instantiate = (
  coreModule: (name: string) => CoreModule,
  imports: Readonly<Record<string, unknown>>,
  instantiateCore: (module: CoreModule, imports: object) => object,
) => Namespace | Promise<Namespace>;

const CORE_MODULE = /^[\w.-]+$/;

/** The generated program of a component, with its core modules compiled once for all instances. */
export class LoadedComponent {
  readonly #instantiate: Instantiate;
  readonly #dir: string;
  readonly #modules = new Map<string, CoreModule>();

  private constructor(instantiate: Instantiate, dir: string) {
    this.#instantiate = instantiate;
    this.#dir = dir;
  }

  /** Imports the program. Throws what importing it throws. */
  static async load(start: Pick<RunnerStart, 'entry' | 'dir'>): Promise<LoadedComponent> {
    const program = (await import(pathToFileURL(start.entry).href)) as { instantiate: Instantiate };
    return new LoadedComponent(program.instantiate, start.dir);
  }

  /**
   * Makes an instance, synchronously: the generated code waits only for promises it is given, and it is given none. (So the
   * exports, in which a guest may name a function `then`, are never awaited.)
   */
  instantiate(imports: Readonly<Record<string, unknown>>): Namespace {
    const exports = this.#instantiate(
      (name) => this.#module(name),
      imports,
      (module, coreImports) => new WebAssembly.Instance(module, coreImports),
    );
    if (exports instanceof Promise) {
      exports.catch(() => {});
      throw new Error('the component waits while it is being instantiated');
    }
    return exports;
  }

  #module(name: string): CoreModule {
    let module = this.#modules.get(name);
    if (module === undefined) {
      if (!CORE_MODULE.test(name)) throw new Error('a core module has an unexpected name');
      module = new WebAssembly.Module(readFileSync(join(this.#dir, name)));
      this.#modules.set(name, module);
    }
    return module;
  }
}
