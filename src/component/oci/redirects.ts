/** What may follow when a registry sends a host elsewhere: to where a blob lies, or to where tokens are given. */
export type Direction = { readonly ok: true; readonly url: URL } | { readonly ok: false; readonly reason: string };

const refused = (reason: string): Direction => ({ ok: false, reason });

/**
 * Judges a redirect. Without TLS only within a registry that is spoken to so anyway, or to another such one.
 *
 * @param isInsecure whether an authority is spoken to over plain HTTP.
 */
export function judgeRedirect(from: URL, location: string | undefined, isInsecure: (authority: string) => boolean): Direction {
  if (location === undefined || location.length > 8_192 || !URL.canParse(location, from)) return refused('to nowhere');
  return judge(new URL(location, from), isInsecure);
}

/** Judges where a registry wants a token to be fetched. */
export function judgeRealm(realm: string | undefined, isInsecure: (authority: string) => boolean): Direction {
  if (realm === undefined || realm.length > 8_192 || !URL.canParse(realm)) return refused('to no place where tokens are given');
  return judge(new URL(realm), isInsecure);
}

function judge(url: URL, isInsecure: (authority: string) => boolean): Direction {
  if (url.username !== '' || url.password !== '') return refused('with credentials in the address');
  if (url.protocol === 'https:') return { ok: true, url };
  if (url.protocol === 'http:' && isInsecure(url.host)) return { ok: true, url };
  return refused(url.protocol === 'http:' ? 'to a place without TLS' : 'by another protocol than HTTPS');
}

/**
 * True if whoever gives tokens at `url` may be told the credentials of a registry: the registry itself, its host's usual port, a domain
 * that it is a part of (whoever owns that owns the registry's name), Docker Hub's own, or one that the operator names.
 */
export function mayKnowCredentials(registry: string, url: URL, tokenHosts: readonly string[]): boolean {
  if (tokenHosts.includes(url.host)) return true;
  const name = nameOf(registry);
  if (registry === 'docker.io') return url.host === 'auth.docker.io';
  if (url.host === registry) return true;
  // Another port of the same machine may be another user's program; its usual one is its owner's, and GitLab gives tokens there.
  if (url.port !== '') return false;
  if (url.hostname === name) return true;
  const isDomain = url.hostname.includes('.') && !/^[0-9.]+$/.test(url.hostname);
  return isDomain && name.endsWith(`.${url.hostname}`);
}

const nameOf = (authority: string): string => authority.replace(/:\d+$/, '');
