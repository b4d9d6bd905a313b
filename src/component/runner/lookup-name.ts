/** An interface name without its version, and what links call it by where that differs. */

/**
 * What links and `set-link-name` call an imported interface by: its name without version; one name for all of `wasi:blobstore`, whose
 * interfaces share their resources and so cannot lead to different targets.
 */
export function lookupName(interfaceName: string): string {
  const at = interfaceName.indexOf('@');
  const name = at < 0 ? interfaceName : interfaceName.slice(0, at);
  return name.startsWith('wasi:blobstore/') ? 'wasi:blobstore/blobstore' : name;
}
