import { TrellisError } from '../errors.ts';
import { PRIMITIVE_KINDS, type PrimitiveKind, type WitType } from './types.ts';
import { isLabel } from './wasm-cursor.ts';

const MAX_DEPTH = 64;
const PRIMITIVES: ReadonlySet<unknown> = new Set(PRIMITIVE_KINDS);

function bad(path: string, message: string): never {
  throw new TrellisError('TRELLIS_WIT_TYPE_TEXT', { message: `${path}: ${message}` });
}

/**
 * Checks that parsed JSON is a {@link WitType} and gives it back as one, without anything else that was in it.
 * @throws TRELLIS_WIT_TYPE_TEXT, with the place: `type.fields[0].ty: is not a WIT type`
 */
export function witTypeFromJson(json: unknown, path = 'type', depth = 0): WitType {
  if (depth > MAX_DEPTH) return bad(path, 'is nested too deeply');
  if (typeof json !== 'object' || json === null) return bad(path, 'is not a WIT type');
  const given = json as Record<string, unknown>;
  const inner = (key: string): WitType => witTypeFromJson(given[key], `${path}.${key}`, depth + 1);
  const maybe = (key: string): WitType | null => (given[key] === null || given[key] === undefined ? null : inner(key));
  const items = (key: string): readonly unknown[] => {
    const list = given[key];
    return Array.isArray(list) ? list : bad(`${path}.${key}`, 'is not a list');
  };
  const label = (value: unknown, at: string): string =>
    typeof value === 'string' && isLabel(value) ? value : bad(at, 'is not a name in kebab case');
  const named = (key: string): { name: string; ty: unknown; at: string }[] =>
    items(key).map((each, i) => {
      const at = `${path}.${key}[${i}]`;
      const { name, ty } = (typeof each === 'object' && each !== null ? each : bad(at, 'is not an object')) as Record<
        string,
        unknown
      >;
      return { name: label(name, `${at}.name`), ty, at: `${at}.ty` };
    });
  const kind = given['kind'];
  switch (kind) {
    case 'list':
      return { kind, elem: inner('elem') };
    case 'option':
      return { kind, some: inner('some') };
    case 'stream':
      return { kind, elem: maybe('elem') };
    case 'future':
      return { kind, some: maybe('some') };
    case 'result':
      return { kind, ok: maybe('ok'), err: maybe('err') };
    case 'tuple':
      return { kind, elems: items('elems').map((elem, i) => witTypeFromJson(elem, `${path}.elems[${i}]`, depth + 1)) };
    case 'record':
      return { kind, fields: named('fields').map(({ name, ty, at }) => ({ name, ty: witTypeFromJson(ty, at, depth + 1) })) };
    case 'variant':
      return {
        kind,
        cases: named('cases').map(({ name, ty, at }) => ({
          name,
          ty: ty === null || ty === undefined ? null : witTypeFromJson(ty, at, depth + 1),
        })),
      };
    case 'enum':
    case 'flags':
      return { kind, names: items('names').map((name, i) => label(name, `${path}.names[${i}]`)) };
    case 'own':
    case 'borrow':
      return { kind, name: label(given['name'], `${path}.name`) };
    default:
      return PRIMITIVES.has(kind) ? { kind: kind as PrimitiveKind } : bad(path, 'is not a WIT type');
  }
}
