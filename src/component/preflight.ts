import type { ComponentTypes } from '../wit/types.ts';
export interface Preflight {
  readonly types: ComponentTypes;
  readonly digest: string;
}
