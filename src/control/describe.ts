import { TrellisError } from '../errors.ts';
import type { ComponentId, LatticeName } from '../ids.ts';
import type { Bus, BusSubscription } from '../wrpc/bus.ts';
import type { ComponentTypes } from '../wit/types.ts';
import { isInboxSubject } from '../wrpc/subjects.ts';

/** What a host tells of a component it serves. */
export interface ComponentDescription {
  readonly id: string;
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly types: ComponentTypes;
}

/**
 * Subject on which a host describes a component: an addition of Trellis to the 1.x control interface, inside the subject space
 * that control users of a lattice already hold.
 */
export function describeSubject(lattice: LatticeName, id: ComponentId): string {
  return `wasmbus.ctl.v1.${lattice}.component.describe.${id}`;
}

/** Answers what `describeSubject` asks; one host of the lattice answers for a component. */
export function serveDescription(
  ctl: Bus,
  lattice: LatticeName,
  id: ComponentId,
  description: ComponentDescription,
  onAsked: () => void,
): BusSubscription {
  const answer = Buffer.from(JSON.stringify(description));
  return ctl.subscribe(describeSubject(lattice, id), { queue: `${lattice}.${id}` }, (message) => {
    // Only to an inbox: otherwise whoever may ask could have this host publish on any subject that its user may.
    if (!isInboxSubject(message.reply)) return;
    onAsked();
    if (answer.length <= message.line.maxPayloadBytes) message.line.publish(message.reply, answer);
    else message.line.publish(message.reply, Buffer.from(JSON.stringify({ error: 'description larger than max_payload' })));
  });
}

/** The description in an answer. @throws TRELLIS_INVOKE_FAILED when it is none. */
export function parseDescription(payload: Uint8Array): ComponentDescription {
  try {
    const value = JSON.parse(Buffer.from(payload).toString('utf8')) as Partial<ComponentDescription> & { error?: unknown };
    if (typeof value.id === 'string' && typeof value.digest === 'string' && Array.isArray(value.types?.exports)) {
      return value as ComponentDescription;
    }
    if (typeof value.error === 'string') throw new Error(value.error.slice(0, 120));
  } catch (cause) {
    throw new TrellisError('TRELLIS_INVOKE_FAILED', { message: 'the description of the component could not be read', cause });
  }
  throw new TrellisError('TRELLIS_INVOKE_FAILED', { message: 'the answer describes no component' });
}
