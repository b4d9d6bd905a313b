import { z } from 'zod';
import { isToken } from '../../ids.ts';

/** What a setting has beside its type, its default and its description. */
export interface SettingExtra {
  /** Environment names besides `TRELLIS_<PATH>`, the first one wins. */
  readonly env?: readonly string[];
  /** Flags besides `--<path-in-kebab-case>`. */
  readonly flags?: readonly string[];
  /** Stands for the default in documents, when it depends on the machine. */
  readonly defaultText?: string;
  /** The value is secret: never taken from flags or files, never shown. */
  readonly secret?: true;
}

/** {@link SettingExtra} of each schema node that has some. */
export const settingExtras = z.registry<SettingExtra>();

/** A schema with its description, which everybody who sets it reads. */
export function setting<T extends z.ZodType>(schema: T, description: string, extra?: SettingExtra): T {
  const described = schema.meta({ description });
  if (extra !== undefined) (described as z.ZodType).register(settingExtras, extra);
  return described;
}

/** Bytes of a mebibyte. */
export const MIB = 1024 * 1024;
const LABEL_PATH = /^[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z][A-Za-z0-9-]*)?$/;

/** A name that may become part of a subject. */
export const token = (what: string, maxLength: number) =>
  z.string().refine((value) => isToken(value, maxLength), {
    error: `must be ${what}: 1 to ${maxLength} characters of A-Z, a-z, 0-9, _ and -`,
  });
/** A path of a file or folder. */
export const path = () => z.string().min(1, { error: 'must be a path' }).meta({ format: 'path' });
/** A whole number, both ends included. */
export const count = (min: number, max: number) => z.int().min(min).max(max);
/** An interface, without a version. */
export const interfaceName = () =>
  z.string().regex(/^[a-z][a-z0-9-]*:[a-z][a-z0-9-]*\/[a-z][a-z0-9-]*$/, { error: 'must look like ns:pkg/iface' });
/** A function, as it stands on the wire. */
export const functionText = () => {
  const error = 'must be a function, as on the wire: at most 200 characters';
  return z.string().max(200, { error }).regex(LABEL_PATH, { error });
};
/** A key or seed, by its letters alone; what it is for is checked when it is used. */
export const keyText = () => z.string().regex(/^[A-Z2-7]+$/, { error: 'must be an nkey: A-Z and 2-7 only' });
