import { TrellisError } from '../../errors.ts';

/** The value of a flag that is a number of milliseconds (or an epoch): 0 to 2^53-1. @throws TRELLIS_USAGE */
export function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (/^[0-9]{1,16}$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new TrellisError('TRELLIS_USAGE', { message: `${flag} must be a whole number that is not negative` });
}
