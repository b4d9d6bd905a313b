import { parseJsonObject } from '../json-object.ts';

/**
 * What a `link.get` may say. Hosts of 1.x read nothing of it and answer with all links of the lattice at once, or not at all where that is
 * more than the server takes in one message. So does a Trellis host that is asked nothing, except that it says so.
 */
export interface LinkQuery {
  /** Asks for one part: sources whose ids come after this one (`''`: from the first), as many as one message holds. */
  readonly after?: string;
  /** `file`: links of the configuration file of the host that is asked, in place of those of the lattice. */
  readonly of?: 'file';
}

/** Longer bodies are no query. */
const MAX_QUERY_BYTES = 4_096;

/** Reads a query; what is none asks for everything, as in 1.x. Never throws. */
export function readLinkQuery(payload: Uint8Array): LinkQuery {
  if (payload.length === 0 || payload.length > MAX_QUERY_BYTES) return {};
  const { after, of } = parseJsonObject(Buffer.from(payload).toString('utf8')) ?? {};
  return { ...(typeof after === 'string' ? { after } : {}), ...(of === 'file' ? { of } : {}) };
}
