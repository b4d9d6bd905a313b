/**
 * The syntax of a component, as far as its types and names need it. One definition of the binary is one object here; what
 * only matters to execution (core instances, canonical options) is read and dropped.
 */
import type { PrimitiveKind } from './types.ts';

/** A primitive, or an index into the type index space of the enclosing scope. */
export type TypeRef = PrimitiveKind | number;

/** A named type of a record, variant or parameter list; `null` for a case without payload. */
export interface NamedRef<Ref = TypeRef> {
  readonly name: string;
  readonly type: Ref;
}

/** A type definition. */
export type TypeSyntax =
  | { readonly kind: 'alias'; readonly of: PrimitiveKind }
  | { readonly kind: 'record'; readonly fields: readonly NamedRef[] }
  | { readonly kind: 'variant'; readonly cases: readonly NamedRef<TypeRef | null>[] }
  | { readonly kind: 'list' | 'option'; readonly of: TypeRef }
  | { readonly kind: 'stream' | 'future'; readonly of: TypeRef | null }
  | { readonly kind: 'tuple'; readonly of: readonly TypeRef[] }
  | { readonly kind: 'flags' | 'enum'; readonly names: readonly string[] }
  | { readonly kind: 'result'; readonly ok: TypeRef | null; readonly err: TypeRef | null }
  | { readonly kind: 'own' | 'borrow'; readonly resource: number }
  | { readonly kind: 'resource' }
  | { readonly kind: 'func'; readonly async: boolean; readonly params: readonly NamedRef[]; readonly result: TypeRef | null }
  | { readonly kind: 'component' | 'instance'; readonly declarations: readonly Declaration[] }
  /** A value type that has no place on the wire; refused only where a function of the world uses it. */
  | { readonly kind: 'unsupported'; readonly what: string };

/** The index spaces that matter here. `core` stands for every core sort. */
export type Sort = 'core' | 'core-module' | 'func' | 'value' | 'type' | 'component' | 'instance';

/** What an import or an ascribed export is. */
export type ExternSyntax =
  | { readonly kind: 'core-module' | 'value' }
  | { readonly kind: 'func' | 'component' | 'instance'; readonly type: number }
  | { readonly kind: 'type'; readonly bound: 'resource' | number };

/** A definition that component types, instance types and components share. */
export type Declaration =
  | { readonly kind: 'type'; readonly type: TypeSyntax }
  /** Core types, core instances and aliases of them: only their names are kept. */
  | { readonly kind: 'core-names'; readonly names: readonly string[] }
  | { readonly kind: 'alias-export'; readonly sort: Sort; readonly instance: number; readonly name: string }
  | { readonly kind: 'alias-outer'; readonly sort: Sort; readonly depth: number; readonly index: number }
  | {
      readonly kind: 'import' | 'declare-export';
      readonly name: string;
      readonly names: readonly string[];
      readonly extern: ExternSyntax;
    };

/** An argument of an instantiation, or an item of an instance written out. */
export interface NamedItem {
  readonly name: string;
  readonly sort: Sort;
  readonly index: number;
}

/** A definition of a component. */
export type Definition =
  | Declaration
  /** A core module: `bytes[start, end)` of the file. */
  | { readonly kind: 'core-module'; readonly start: number; readonly end: number }
  | { readonly kind: 'component'; readonly definitions: readonly Definition[] }
  | { readonly kind: 'instantiate'; readonly component: number; readonly args: readonly NamedItem[] }
  | { readonly kind: 'written-instance'; readonly items: readonly NamedItem[] }
  /** `canon lift`: a new function of the type at this index. */
  | { readonly kind: 'lift'; readonly type: number }
  | {
      readonly kind: 'export';
      readonly name: string;
      /** Names in the attributes of the export. */
      readonly names: readonly string[];
      readonly sort: Sort;
      readonly index: number;
      readonly extern: ExternSyntax | null;
    };
