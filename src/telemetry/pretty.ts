import { styleText } from 'node:util';
import { visible } from './scrub.ts';

type Style = Parameters<typeof styleText>[0];
const STYLES: Readonly<Record<string, Style>> = {
  trace: 'gray',
  debug: 'gray',
  info: 'green',
  warn: 'yellow',
  error: 'red',
  fatal: 'red',
};

/**
 * Returns a JSON log line as a person reads it: `12:00:01.250 WARN  message  key=value …`, an error's stack indented below.
 * Nothing in a value can begin a new line or reach the terminal as a control sequence. A line that is not JSON comes
 * back made visible.
 */
export function prettyLine(line: string, color: boolean): string {
  const paint = (style: Style, text: string): string => (color ? styleText(style, text, { validateStream: false }) : text);
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return `${visible(line.trimEnd())}\n`;
  }
  const { time, level, msg, err, ...rest } = fields;
  const name = typeof level === 'string' ? visible(level) : '';
  const clock = typeof time === 'string' ? visible(time.slice(11, 23)) : '';
  const parts = [
    paint('gray', clock),
    paint(STYLES[name] ?? 'white', name.toUpperCase().padEnd(5)),
    visible(typeof msg === 'string' ? msg : ''),
  ];
  const error = typeof err === 'object' && err !== null ? (err as Record<string, unknown>) : undefined;
  const shown = error === undefined ? rest : { ...rest, ...withoutStack(error) };
  for (const [key, value] of Object.entries(shown)) parts.push(`${paint('gray', `${visible(key)}=`)}${plain(value)}`);
  let text = parts.join(' ');
  if (typeof error?.['stack'] === 'string') {
    for (const stackLine of error['stack'].split('\n')) text += `\n      ${paint('gray', `| ${visible(stackLine)}`)}`;
  }
  return `${text}\n`;
}

function withoutStack(error: Record<string, unknown>): Record<string, unknown> {
  const { stack: _stack, message, ...rest } = error;
  return { error: message, ...rest };
}

function plain(value: unknown): string {
  if (typeof value === 'string') return /^[\w.:/@$<>[\]-]+$/.test(value) ? value : visible(JSON.stringify(value));
  return visible(JSON.stringify(value) ?? String(value));
}
