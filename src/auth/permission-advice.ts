import type { SubjectRights } from '../nats/subject-match.ts';
import { fillTemplate, loadPermissionTemplates } from './permission-templates.ts';

/** The tag of a tenant's account that names its lattice. */
const LATTICE_TAG = 'trellis-lattice:';

/**
 * Names of the extensions of a role's permission template that would allow what `allows` asks. Values that the extension needs
 * and nobody has given are their defaults, or left out with the extension.
 *
 * @param role `host-rpc`, or `host-rpc@web-1` for one member's own
 * @param tags of the account
 */
export function extensionsThatAllow(
  role: string,
  tags: readonly string[] = [],
  allows: (rights: SubjectRights) => boolean,
): string[] {
  const template = loadPermissionTemplates().get(role.split('@', 1)[0]!);
  const lattice = tags.find((tag) => tag.startsWith(LATTICE_TAG))?.slice(LATTICE_TAG.length);
  if (template === undefined || lattice === undefined) return [];
  return Object.keys(template.extensions).filter((name) => {
    try {
      // Only what the extension adds counts: the template without its parameters is not what this user has.
      const { publish, subscribe, parameters } = template.extensions[name]!;
      const only = { ...template, publish, subscribe, parameters: { ...template.parameters, ...parameters } };
      const rights = fillTemplate(template.name, { lattice }, [], new Map([[template.name, only]]));
      return allows(rights);
    } catch {
      return false;
    }
  });
}
