/**
 * How operations of 0.82 and functions of WIT name each other. Each word of a kebab-case name is written with a capital first
 * letter and the hyphens go: `test-operation` and `handle-test` make `TestOperation.HandleTest`. The other way round no name
 * is ever guessed: a host writes down the operation of each function it serves, and looks up what comes in.
 */

function capitalised(label: string): string {
  return label
    .split('-')
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join('');
}

/** An interface by its parts; the version is of no meaning to 0.82. */
export interface InterfaceParts {
  /** `ns:pkg`: the contract id. */
  readonly contract: string;
  /** Name of the interface, kebab-case. */
  readonly face: string;
}

/** The parts of `ns:pkg/iface@1.0.0`, or `undefined` for an interface without a package. */
export function interfaceParts(instance: string): InterfaceParts | undefined {
  const match = /^([^/@]+:[^/@]+)\/([^/@]+)(?:@.*)?$/.exec(instance);
  return match === null ? undefined : { contract: match[1]!, face: match[2]! };
}

/** The operation of a function: `Interface.Method`. */
export function operationName(face: string, func: string): string {
  return `${capitalised(face)}.${capitalised(func)}`;
}
