import { entry, EXIT, type CatalogueEntry } from './entry.ts';

/** Component binaries, WIT types and values. */
export const WIT_ERRORS = {
  TRELLIS_WIT_MALFORMED: entry(
    'user',
    EXIT.config,
    false,
    'The file is not a well-formed WebAssembly component.',
    'Build the component again; `wasm-tools validate` says what is wrong with a file.',
  ),
  TRELLIS_WIT_UNSUPPORTED: entry(
    'user',
    EXIT.config,
    false,
    'The component uses a feature of the component model that cannot cross a lattice.',
    'Remove the named feature from the WIT of the component.',
  ),
  TRELLIS_WIT_TYPE_TEXT: entry(
    'user',
    EXIT.usage,
    false,
    'The text is not a WIT type.',
    'Write it as in WIT, for example: result<option<list<u8>>, variant{a, other(string)}>.',
  ),
  TRELLIS_WIT_VALUE: entry(
    'user',
    EXIT.usage,
    false,
    'A value does not fit its WIT type.',
    'Give the value in the JSON form of its type; `trellis wire --help` lists the forms.',
  ),
  TRELLIS_WIT_BYTES: entry(
    'user',
    EXIT.usage,
    false,
    'The bytes are not an encoding of the WIT type.',
    'Check the type and the bytes with `trellis wire decode`.',
  ),
} as const satisfies Record<string, CatalogueEntry>;
