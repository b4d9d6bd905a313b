import type { WitFunction, WitType } from '../types.ts';

/** Short ways to write WIT types and functions down, for interfaces that no component file describes. */

export const STRING: WitType = { kind: 'string' };
export const BOOL: WitType = { kind: 'bool' };
export const U8: WitType = { kind: 'u8' };
export const U16: WitType = { kind: 'u16' };
export const U32: WitType = { kind: 'u32' };
export const U64: WitType = { kind: 'u64' };
export const BYTES: WitType = { kind: 'list', elem: U8 };

export const list = (elem: WitType): WitType => ({ kind: 'list', elem });
export const option = (some: WitType): WitType => ({ kind: 'option', some });
export const tuple = (...elems: readonly WitType[]): WitType => ({ kind: 'tuple', elems });
export const result = (ok: WitType | null, err: WitType | null): WitType => ({ kind: 'result', ok, err });
export const stream = (elem: WitType): WitType => ({ kind: 'stream', elem });
export const future = (some: WitType): WitType => ({ kind: 'future', some });

/** A record; names are kebab-case. */
export const record = (fields: Readonly<Record<string, WitType>>): WitType => ({
  kind: 'record',
  fields: Object.entries(fields).map(([name, ty]) => ({ name, ty })),
});

/** A variant; `null` for a case without payload. */
export const variant = (cases: Readonly<Record<string, WitType | null>>): WitType => ({
  kind: 'variant',
  cases: Object.entries(cases).map(([name, ty]) => ({ name, ty })),
});

/** A function of an interface. */
export const func = (name: string, params: Readonly<Record<string, WitType>>, returns: WitType | null): WitFunction => ({
  name,
  wireName: name,
  params: Object.entries(params).map(([param, type]) => ({ name: param, type })),
  result: returns,
  async: false,
});
