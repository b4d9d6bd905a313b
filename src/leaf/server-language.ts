import { TrellisError } from '../errors.ts';
import { quote } from '../ids.ts';

/** A value in nats-server's configuration language. */
export type ServerValue = Scalar | EnvironmentValue | readonly (Scalar | ServerBlock)[] | ServerBlock;

type Scalar = string | number;

/** One line of a block: a name and its value, or a comment. */
export type ServerEntry =
  | { readonly key: string; readonly value: ServerValue; readonly comment?: string }
  | { readonly comment: string };

/** A block in braces, or a whole file. */
export class ServerBlock {
  readonly entries: readonly ServerEntry[];
  constructor(...entries: readonly (ServerEntry | undefined)[]) {
    this.entries = entries.filter((entry) => entry !== undefined);
  }
}

/** A value that nats-server takes from its environment when it starts. */
export class EnvironmentValue {
  /** A name that no shell or server reads as anything else. */
  readonly variable: string;

  /** @throws TRELLIS_LEAF_INPUT unless it is A-Z, 0-9 and _, with a letter first */
  constructor(variable: string) {
    if (!/^[A-Z][A-Z0-9_]{0,63}$/.test(variable)) {
      throw new TrellisError('TRELLIS_LEAF_INPUT', { message: `${quote(variable)} is no name of an environment variable` });
    }
    this.variable = variable;
  }
}

/** A line of a block, with what it is for. */
export const line = (key: string, value: ServerValue, comment?: string): ServerEntry =>
  comment === undefined ? { key, value } : { key, value, comment };

/** A line that says something about those after it. */
export const note = (comment: string): ServerEntry => ({ comment });

/**
 * Writes a configuration file. Every text is written in quotes with its special characters escaped, so that no value can end
 * its line, read a variable or include a file.
 *
 * @throws TRELLIS_LEAF_INPUT for a text with control characters: no path or address needs one, and they hide lines from readers.
 */
export function writeServerConfig(file: ServerBlock): string {
  return `${linesOf(file, '').join('\n')}\n`;
}

function linesOf(block: ServerBlock, indent: string): string[] {
  return block.entries.flatMap((entry) => {
    const comments = entry.comment === undefined ? [] : entry.comment.split('\n').map((text) => `${indent}# ${text}`);
    if (!('key' in entry)) return comments;
    const { key, value } = entry;
    return [...comments, ...valueLines(`${indent}${keyText(key)}`, value, indent)];
  });
}

function valueLines(start: string, value: ServerValue, indent: string): string[] {
  if (typeof value === 'string' || typeof value === 'number') return [`${start}: ${scalar(value)}`];
  if (value instanceof EnvironmentValue) return [`${start}: $${value.variable}`];
  const inner = `${indent}  `;
  if (value instanceof ServerBlock) return [`${start} {`, ...linesOf(value, inner), `${indent}}`];
  const items = value.flatMap((item) =>
    item instanceof ServerBlock ? [`${inner}{`, ...linesOf(item, `${inner}  `), `${inner}}`] : [`${inner}${scalar(item)}`],
  );
  return [`${start}: [`, ...items, `${indent}]`];
}

const keyText = (key: string): string => (/^[A-Za-z_][A-Za-z0-9_]*$/.test(key) ? key : quoted(key));

function scalar(value: Scalar): string {
  return typeof value === 'string' ? quoted(value) : String(value);
}

function quoted(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are the characters meant
  if (/[\u0000-\u001f\u007f\u0085\u2028\u2029]/.test(text) || !text.isWellFormed()) {
    throw new TrellisError('TRELLIS_LEAF_INPUT', {
      message: `${quote(text)} holds characters that no line of a configuration can hold`,
    });
  }
  return `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}
