import { TrellisError } from '../errors.ts';
import type { ControlReply } from '../lattice/control-replies.ts';
import type { LinkQuery } from '../lattice/link-query.ts';
import type { LatticeLink } from '../lattice/links.ts';

type Links = readonly LatticeLink[];

/** Whom {@link gatherLinks} asks. */
export interface LinkSources {
  /** Asks that host alone, or whichever takes the question. @throws TRELLIS_CONTROL_TIMEOUT if it stays silent */
  ask(query: LinkQuery, host?: string): Promise<ControlReply<Links>>;
  /** A host that answers in parts, if there is one. */
  findHost(): Promise<string | undefined>;
}

/**
 * All links of a lattice, as its hosts know them, asked for in parts, since they may be more than the server takes in one message. A
 * source that has the same links all the while is neither left out nor there twice. @throws what `ask` throws
 */
export async function gatherLinks({ ask, findHost }: LinkSources): Promise<ControlReply<Links>> {
  const links: LatticeLink[] = [];
  let host: string | undefined;
  let after = '';
  for (;;) {
    let part: ControlReply<Links>;
    try {
      part = await ask({ after }, host);
    } catch (error) {
      const isSilent = error instanceof TrellisError && error.code === 'TRELLIS_CONTROL_TIMEOUT';
      if (!isSilent || host !== undefined) throw error;
      // Hosts of 1.x do not answer where there are too many.
      host = await findHost();
      if (host === undefined) throw error;
      continue;
    }
    const { next, response, ...reply } = part;
    // Hosts of 1.x answer with all of them, whatever they are asked.
    if (!reply.success || response === undefined || next === undefined) return part;
    links.push(...response);
    if (next === null) return { ...reply, response: links };
    // Somebody answers the same again and again.
    if (next <= after) return { success: false, message: 'the answer could not be read' };
    after = next;
  }
}
