import { parse } from 'yaml';
import type { Setting } from './settings.ts';

const TRUE = new Set(['true', '1', 'yes', 'on']);
const FALSE = new Set(['false', '0', 'no', 'off']);

/**
 * Returns the value that the text of a flag or an environment variable stands for. What cannot be converted comes back as the
 * text itself, for the schema to refuse with its own words.
 */
export function textToValue(setting: Setting, text: string): unknown {
  switch (setting.kind) {
    case 'integer':
      return /^\d{1,15}$/.test(text) ? Number(text) : text;
    case 'boolean':
      return TRUE.has(text.toLowerCase()) ? true : FALSE.has(text.toLowerCase()) ? false : text;
    case 'text-or-false':
      return FALSE.has(text.toLowerCase()) ? false : text;
    case 'list':
      return text
        .split(/[,\s]+/)
        .map((item) => item.trim())
        .filter((item) => item !== '');
    case 'map':
      return textToMap(text);
    case 'structure':
      try {
        return parse(text, { maxAliasCount: 20 }) as unknown;
      } catch {
        return text;
      }
    default:
      return text;
  }
}

/** `a=1,b=2` as a map, or the text itself if a part has no name. */
function textToMap(text: string): unknown {
  const map: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    if (at < 1) return text;
    map[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  return map;
}
