/**
 * WIT types as plain data. The form is the one of the conformance vectors (`{"kind":"list","elem":…}`), so a type can be
 * written to a file and read back with `JSON`.
 */

/** The types that hold no other type. */
export const PRIMITIVE_KINDS = [
  'bool',
  'u8',
  's8',
  'u16',
  's16',
  'u32',
  's32',
  'u64',
  's64',
  'f32',
  'f64',
  'char',
  'string',
] as const;

/** One of {@link PRIMITIVE_KINDS}. */
export type PrimitiveKind = (typeof PRIMITIVE_KINDS)[number];

/** A field of a record. `name` is the kebab-case WIT label. */
export interface WitField {
  readonly name: string;
  readonly ty: WitType;
}

/** A case of a variant; `ty` is `null` for a case without payload. */
export interface WitCase {
  readonly name: string;
  readonly ty: WitType | null;
}

/** A WIT value type with every alias resolved. Trees are finite: WIT has no recursive types. */
export type WitType =
  | { readonly kind: PrimitiveKind }
  | { readonly kind: 'list'; readonly elem: WitType }
  | { readonly kind: 'tuple'; readonly elems: readonly WitType[] }
  | { readonly kind: 'record'; readonly fields: readonly WitField[] }
  | { readonly kind: 'variant'; readonly cases: readonly WitCase[] }
  | { readonly kind: 'enum'; readonly names: readonly string[] }
  | { readonly kind: 'flags'; readonly names: readonly string[] }
  | { readonly kind: 'option'; readonly some: WitType }
  | { readonly kind: 'result'; readonly ok: WitType | null; readonly err: WitType | null }
  | { readonly kind: 'own' | 'borrow'; readonly name: string }
  | { readonly kind: 'stream'; readonly elem: WitType | null }
  | { readonly kind: 'future'; readonly some: WitType | null };

/** A parameter of a function. */
export interface WitParam {
  readonly name: string;
  readonly type: WitType;
}

/** A function of an interface or of a world. */
export interface WitFunction {
  /** As in the component: `greet`, `[constructor]counter`, `[method]counter.up`, `[static]counter.merge`. */
  readonly name: string;
  /** As on the wire (wRPC over NATS, subject grammar): `greet`, `counter`, `counter.up`, `counter.merge`. */
  readonly wireName: string;
  readonly params: readonly WitParam[];
  readonly result: WitType | null;
  /** True for WIT `async func`. */
  readonly async: boolean;
}

/** An imported or exported interface. */
export interface WitInterface {
  /** `ns:pkg/iface@1.0.0`, the bare name of an inline interface, or `''` for the functions of the world itself. */
  readonly name: string;
  readonly functions: readonly WitFunction[];
}

/** What a component imports and exports, in the order of the file. Interfaces that hold only types have no functions. */
export interface ComponentTypes {
  readonly imports: readonly WitInterface[];
  readonly exports: readonly WitInterface[];
  /** `ns:pkg/world@1.0.0` when something outside the file says so; a component does not hold its world's name. */
  readonly worldName?: string;
}

/** The wRPC name of a function: the bracketed prefix of a resource member falls away. */
export function wireNameOf(name: string): string {
  const close = name.startsWith('[') ? name.indexOf(']') : -1;
  return close < 0 ? name : name.slice(close + 1);
}

/**
 * The JavaScript name of a kebab-case WIT label: `get-DNS-name` becomes `getDnsName`. Used for record fields, flags and
 * functions, as jco does.
 */
export function camelCase(label: string): string {
  const dash = label.indexOf('-');
  if (dash < 0) return label.toLowerCase();
  return label
    .split('-')
    .map((word, i) => (i === 0 ? word.toLowerCase() : word.charAt(0).toUpperCase() + word.slice(1).toLowerCase()))
    .join('');
}

/** True if values of `type` can hold a stream or a future. */
export function hasAsync(type: WitType | null): boolean {
  if (type === null) return false;
  switch (type.kind) {
    case 'stream':
    case 'future':
      return true;
    case 'list':
      return hasAsync(type.elem);
    case 'tuple':
      return type.elems.some(hasAsync);
    case 'record':
      return type.fields.some((field) => hasAsync(field.ty));
    case 'variant':
      return type.cases.some((each) => hasAsync(each.ty));
    case 'option':
      return hasAsync(type.some);
    case 'result':
      return hasAsync(type.ok) || hasAsync(type.err);
    default:
      return false;
  }
}
