/** The values that evaluating a component deals in, and the evaluation of type definitions. */
import type { Declaration, Definition, TypeRef, TypeSyntax } from './component-syntax.ts';
import type { WitType } from './types.ts';
import { malformed, unsupported } from './wasm-cursor.ts';

/** Deepest nesting of a value type, and with it of every value the codec meets. */
const MAX_TYPE_DEPTH = 64;
/** Most nodes of one value type. A type that names one other type twice, over and over, doubles with each step. */
const MAX_TYPE_NODES = 10_000;

/** A value type with its size as a tree. */
export interface ValueType {
  readonly kind: 'value';
  readonly type: WitType;
  readonly nodes: number;
  readonly depth: number;
  /** What in it has no place on the wire, or `null`. */
  readonly unsupported: string | null;
}

/** A function type. */
export interface FuncType {
  readonly kind: 'func';
  readonly async: boolean;
  readonly params: readonly { readonly name: string; readonly value: ValueType }[];
  readonly result: ValueType | null;
}

/** A resource type. Its handles share their name with every type that mentions them. */
export interface ResourceType {
  readonly kind: 'resource';
  readonly own: { readonly kind: 'own'; name: string };
  readonly borrow: { readonly kind: 'borrow'; name: string };
}

/** Anything in the type index space. */
export type TypeValue =
  | ValueType
  | FuncType
  | ResourceType
  | { readonly kind: 'instance'; readonly declarations: readonly Declaration[]; readonly scope: Scope }
  | { readonly kind: 'component' };

/** A component that can be instantiated: its definitions and where they were written. */
export interface ComponentValue {
  readonly definitions: readonly Definition[];
  readonly scope: Scope;
}

/** An instance: what it exports. */
export interface InstanceValue {
  readonly exports: ReadonlyMap<string, Item>;
}

/** Anything that has a name in an instance. */
export type Item =
  | { readonly sort: 'func'; readonly func: FuncType }
  | { readonly sort: 'type'; readonly type: TypeValue }
  | { readonly sort: 'instance'; readonly instance: InstanceValue }
  | { readonly sort: 'component'; readonly component: ComponentValue }
  | { readonly sort: 'core-module' };

/** The index spaces of a component, component type or instance type. */
export interface Scope {
  readonly outer: Scope | null;
  readonly types: TypeValue[];
  readonly funcs: FuncType[];
  readonly instances: InstanceValue[];
  readonly components: ComponentValue[];
}

/** A resource type like no other. */
export function newResource(name: string): ResourceType {
  return { kind: 'resource', own: { kind: 'own', name }, borrow: { kind: 'borrow', name } };
}

/** Evaluates a type definition in its scope; `at` looks up the scope's types. @throws TRELLIS_WIT_MALFORMED, TRELLIS_WIT_UNSUPPORTED */
export function evaluateType(syntax: TypeSyntax, scope: Scope, at: (index: number) => TypeValue): TypeValue {
  let nodes = 1;
  let depth = 0;
  let problem: string | null = null;
  const value = (ref: TypeRef): ValueType => {
    const found = typeof ref === 'string' ? leaf({ kind: ref }) : ref === Number.MAX_SAFE_INTEGER ? errorContext : at(ref);
    if (found.kind !== 'value') throw malformed(`type ${ref} is used as the type of a value and is none`, 0);
    return found;
  };
  const use = (ref: TypeRef): WitType => {
    const found = value(ref);
    nodes += found.nodes;
    depth = Math.max(depth, found.depth);
    problem ??= found.unsupported;
    return found.type;
  };
  const maybe = (ref: TypeRef | null): WitType | null => (ref === null ? null : use(ref));
  const made = (type: WitType): ValueType => {
    if (nodes > MAX_TYPE_NODES) throw unsupported('a type that is too large');
    if (depth >= MAX_TYPE_DEPTH) throw unsupported('a type that is nested too deeply');
    return { kind: 'value', type, nodes, depth: depth + 1, unsupported: problem };
  };
  switch (syntax.kind) {
    case 'alias':
      return leaf({ kind: syntax.of });
    case 'record':
      return made({ kind: 'record', fields: syntax.fields.map((field) => ({ name: field.name, ty: use(field.type) })) });
    case 'variant':
      return made({ kind: 'variant', cases: syntax.cases.map((each) => ({ name: each.name, ty: maybe(each.type) })) });
    case 'list':
      return made({ kind: 'list', elem: use(syntax.of) });
    case 'tuple':
      return made({ kind: 'tuple', elems: syntax.of.map(use) });
    case 'flags':
    case 'enum':
      nodes += syntax.names.length;
      return made({ kind: syntax.kind, names: syntax.names });
    case 'option':
      return made({ kind: 'option', some: use(syntax.of) });
    case 'result':
      return made({ kind: 'result', ok: maybe(syntax.ok), err: maybe(syntax.err) });
    case 'stream':
      return made({ kind: 'stream', elem: maybe(syntax.of) });
    case 'future':
      return made({ kind: 'future', some: maybe(syntax.of) });
    case 'own':
    case 'borrow': {
      const resource = at(syntax.resource);
      if (resource.kind !== 'resource') throw malformed(`type ${syntax.resource} is used as a resource and is none`, 0);
      return made(resource[syntax.kind]);
    }
    case 'unsupported':
      return { ...leaf({ kind: 'tuple', elems: [] }), unsupported: syntax.what };
    case 'resource':
      return newResource('');
    case 'func':
      return {
        kind: 'func',
        async: syntax.async,
        params: syntax.params.map((param) => ({ name: param.name, value: value(param.type) })),
        result: syntax.result === null ? null : value(syntax.result),
      };
    case 'instance':
      return { kind: 'instance', declarations: syntax.declarations, scope };
    case 'component':
      return { kind: 'component' };
  }
}

function leaf(type: WitType): ValueType {
  return { kind: 'value', type, nodes: 1, depth: 1, unsupported: null };
}

const errorContext: ValueType = { ...leaf({ kind: 'tuple', elems: [] }), unsupported: 'an error-context' };
