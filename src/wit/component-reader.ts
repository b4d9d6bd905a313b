/**
 * What a component imports and exports, with full types. The syntax tree is evaluated with a small linker: nested components
 * are evaluated again for each instantiation with their actual arguments, so a type keeps its meaning, and a resource its
 * identity, through any number of aliases. Nothing is executed and core modules are not looked at.
 */
import { parseComponent } from './component-parser.ts';
import { evaluateType, newResource, type ComponentValue, type InstanceValue, type Item, type Scope } from './component-types.ts';
import type { Declaration, Definition, ExternSyntax, NamedItem, Sort } from './component-syntax.ts';
import { wireNameOf, type ComponentTypes, type WitFunction, type WitInterface } from './types.ts';
import { isExternName, malformed, unsupported, type WasmCursor } from './wasm-cursor.ts';
import { quote } from '../ids.ts';

/** Most type nodes all functions of a component may have together; bounds the JSON form of {@link ComponentTypes}. */
const MAX_OUTPUT_NODES = 200_000;

/**
 * Reads the types of a component. Bounded: at most half a million definitions and evaluation steps, nesting of 16 components
 * and 64 types, 200,000 type nodes in the result; a few milliseconds for real components, whatever their size.
 * @throws TRELLIS_WIT_MALFORMED when the bytes are not a component, TRELLIS_WIT_UNSUPPORTED when they use what cannot cross a lattice
 */
export function readComponent(bytes: Uint8Array): ComponentTypes {
  const { definitions, cursor } = parseComponent(bytes);
  const evaluation = new Evaluation(cursor);
  const exports = evaluation.component(definitions, null, null);
  let nodes = 0;
  const account = (more: number): void => {
    nodes += more;
    if (nodes > MAX_OUTPUT_NODES) throw unsupported('function types that are too large');
  };
  return { imports: interfacesOf(evaluation.imports, account), exports: interfacesOf(exports, account) };
}

type Exports = Map<string, Item>;

class Evaluation {
  readonly #cursor: WasmCursor;
  /** What the outermost component imports. */
  readonly imports: Exports = new Map();

  constructor(cursor: WasmCursor) {
    this.#cursor = cursor;
  }

  #fail(reason: string): never {
    throw malformed(reason, 0);
  }

  #at<T>(space: readonly T[], index: number, what: string): T {
    const found = space[index];
    return found === undefined ? this.#fail(`there is no ${what} ${index}`) : found;
  }

  /** Evaluates a component's definitions; `args` is `null` for the outermost one, whose imports stay abstract. */
  component(definitions: readonly Definition[], outer: Scope | null, args: ReadonlyMap<string, Item> | null): Exports {
    const scope: Scope = { outer, types: [], funcs: [], instances: [], components: [] };
    const exports: Exports = new Map();
    for (const each of definitions) {
      this.#cursor.charge(1);
      switch (each.kind) {
        case 'core-module':
          break;
        case 'component':
          scope.components.push({ definitions: each.definitions, scope });
          break;
        case 'lift': {
          const type = this.#at(scope.types, each.type, 'type');
          if (type.kind !== 'func') this.#fail('a function is lifted to something that is no function type');
          scope.funcs.push(type);
          break;
        }
        case 'instantiate':
          scope.instances.push(this.#instantiate(this.#at(scope.components, each.component, 'component'), each.args, scope));
          break;
        case 'written-instance': {
          const written: Exports = new Map();
          for (const item of each.items) this.#add(written, item.name, this.#item(scope, item.sort, item.index));
          scope.instances.push({ exports: written });
          break;
        }
        case 'import': {
          const item =
            args === null ? this.#abstract(scope, each.extern, each.name) : this.#argument(args, each.name, each.extern);
          if (args === null) this.#addOuter(this.imports, each.name, item);
          this.#bind(scope, item);
          break;
        }
        case 'export': {
          const actual = this.#item(scope, each.sort, each.index);
          // The ascribed type of a function is the one its users see; other ascriptions cannot change a function's type.
          const item = each.extern?.kind === 'func' ? this.#abstract(scope, each.extern, each.name) : actual;
          this.#name(item, each.name);
          if (outer === null) this.#addOuter(exports, each.name, item);
          else this.#add(exports, each.name, item);
          this.#bind(scope, item);
          break;
        }
        default:
          this.#declaration(each, scope, exports);
      }
    }
    return exports;
  }

  /** Evaluates the declarations of an instance type anew: each use of the type has resources of its own. */
  #declarations(declarations: readonly Declaration[], outer: Scope): InstanceValue {
    const scope: Scope = { outer, types: [], funcs: [], instances: [], components: [] };
    const exports: Exports = new Map();
    for (const each of declarations) {
      this.#cursor.charge(1);
      this.#declaration(each, scope, exports);
    }
    return { exports };
  }

  #declaration(each: Declaration, scope: Scope, exports: Exports): void {
    switch (each.kind) {
      case 'core-names':
        return;
      case 'type':
        this.#cursor.charge(1);
        scope.types.push(evaluateType(each.type, scope, (index) => this.#at(scope.types, index, 'type')));
        return;
      case 'alias-export': {
        if (each.sort === 'core' || each.sort === 'core-module') return;
        const item = this.#at(scope.instances, each.instance, 'instance').exports.get(each.name);
        if (item?.sort !== each.sort) this.#fail(`an instance does not export the ${each.sort} ${quote(each.name)}`);
        return this.#bind(scope, item);
      }
      case 'alias-outer': {
        let target: Scope | null = scope;
        for (let n = each.depth; n > 0 && target !== null; n--) target = target.outer;
        if (target === null) this.#fail('an alias reaches outside the file');
        if (each.sort === 'type') scope.types.push(this.#at(target.types, each.index, 'type'));
        else if (each.sort === 'component') scope.components.push(this.#at(target.components, each.index, 'component'));
        else if (each.sort !== 'core' && each.sort !== 'core-module') this.#fail(`an outer alias of a ${each.sort}`);
        return;
      }
      case 'import':
        return this.#fail('an import where none can be');
      case 'declare-export': {
        const item = this.#abstract(scope, each.extern, each.name);
        this.#add(exports, each.name, item);
        return this.#bind(scope, item);
      }
    }
  }

  #instantiate(component: ComponentValue, args: readonly NamedItem[], scope: Scope): InstanceValue {
    const items = new Map<string, Item>();
    for (const arg of args) this.#add(items, arg.name, this.#item(scope, arg.sort, arg.index));
    return { exports: this.component(component.definitions, component.scope, items) };
  }

  /** The item an import or a declared export stands for when nothing but its type is known. */
  #abstract(scope: Scope, extern: ExternSyntax, name: string): Item {
    switch (extern.kind) {
      case 'func': {
        const type = this.#at(scope.types, extern.type, 'type');
        return type.kind === 'func' ? { sort: 'func', func: type } : this.#fail('a function has a type that is no function type');
      }
      case 'instance': {
        const type = this.#at(scope.types, extern.type, 'type');
        if (type.kind !== 'instance') this.#fail('an instance has a type that is no instance type');
        return { sort: 'instance', instance: this.#declarations(type.declarations, type.scope) };
      }
      case 'type':
        return {
          sort: 'type',
          type: extern.bound === 'resource' ? newResource(name) : this.#at(scope.types, extern.bound, 'type'),
        };
      case 'core-module':
        return { sort: 'core-module' };
      case 'component':
        throw unsupported('an imported component');
      case 'value':
        throw unsupported('an imported or exported value');
    }
  }

  #argument(args: ReadonlyMap<string, Item>, name: string, extern: ExternSyntax): Item {
    const item = args.get(name);
    if (item?.sort !== extern.kind) this.#fail(`a nested component is not given its import ${quote(name)}`);
    return item;
  }

  #item(scope: Scope, sort: Sort, index: number): Item {
    switch (sort) {
      case 'func':
        return { sort, func: this.#at(scope.funcs, index, 'function') };
      case 'type':
        return { sort, type: this.#at(scope.types, index, 'type') };
      case 'instance':
        return { sort, instance: this.#at(scope.instances, index, 'instance') };
      case 'component':
        return { sort, component: this.#at(scope.components, index, 'component') };
      case 'core-module':
        return { sort };
      default:
        throw unsupported(`a ${sort} outside its module`);
    }
  }

  /** Gives an item the next index of its space. */
  #bind(scope: Scope, item: Item): void {
    if (item.sort === 'func') scope.funcs.push(item.func);
    else if (item.sort === 'type') scope.types.push(item.type);
    else if (item.sort === 'instance') scope.instances.push(item.instance);
    else if (item.sort === 'component') scope.components.push(item.component);
  }

  /** A resource made inside a component gets its name when it is exported. */
  #name(item: Item, name: string): void {
    if (item.sort !== 'type' || item.type.kind !== 'resource' || item.type.own.name !== '') return;
    item.type.own.name = name;
    item.type.borrow.name = name;
  }

  #add(to: Exports, name: string, item: Item): void {
    this.#cursor.charge(1);
    if (to.has(name)) this.#fail(`the name ${quote(name)} occurs twice`);
    to.set(name, item);
  }

  #addOuter(to: Exports, name: string, item: Item): void {
    if (!isExternName(name)) throw unsupported(`the import or export name ${quote(name)}`);
    this.#add(to, name, item);
  }
}

function interfacesOf(items: Exports, account: (nodes: number) => void): WitInterface[] {
  const out: { name: string; functions: WitFunction[] }[] = [];
  const world = (): WitFunction[] => {
    const found = out.find((each) => each.name === '');
    if (found !== undefined) return found.functions;
    const made = { name: '', functions: [] };
    out.push(made);
    return made.functions;
  };
  for (const [name, item] of items) {
    if (item.sort === 'func') world().push(functionOf('', name, item, account));
    else if (item.sort === 'instance') {
      const functions: WitFunction[] = [];
      for (const [member, inner] of item.instance.exports) {
        if (inner.sort === 'func') functions.push(functionOf(name, member, inner, account));
      }
      out.push({ name, functions });
    }
  }
  return out;
}

function functionOf(
  where: string,
  name: string,
  { func }: Extract<Item, { sort: 'func' }>,
  account: (nodes: number) => void,
): WitFunction {
  if (!isExternName(name)) throw unsupported(`the function name ${quote(name)}`);
  for (const value of [...func.params.map((param) => param.value), func.result]) {
    if (value === null) continue;
    account(value.nodes);
    if (value.unsupported !== null) throw unsupported(`${value.unsupported} in ${where === '' ? '' : `${where} `}${name}`);
  }
  return {
    name,
    wireName: wireNameOf(name),
    params: func.params.map((param) => ({ name: param.name, type: param.value.type })),
    result: func.result?.type ?? null,
    async: func.async,
  };
}
