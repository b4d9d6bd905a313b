/** Fields of a JSON object, of which nobody has checked anything yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** True for what JSON calls an object: no list, and not `null`. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object that `text` is the JSON of, or `undefined`. Never throws. */
export function parseJsonObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
