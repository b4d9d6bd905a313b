import { TrellisError } from '../../errors.ts';
import { readChallenges } from './challenge.ts';
import { maySendTo, type AddressKind } from './addresses.ts';
import { unreachable, type HttpClient } from './http-client.ts';
import { judgeRealm, mayKnowCredentials } from './redirects.ts';
import type { RegistryCredential } from './credentials.ts';

/** What {@link authorize} needs to know. */
export interface AuthorizeOptions {
  readonly client: HttpClient;
  /** Authority, as the reference names it. */
  readonly registry: string;
  readonly repository: string;
  readonly credential: RegistryCredential;
  /** `WWW-Authenticate` of the registry's 401. */
  readonly challenge: string | undefined;
  /** What kind of address the registry answered from. */
  readonly peer: AddressKind;
  readonly tokenHosts: readonly string[];
  readonly isInsecure: (authority: string) => boolean;
  readonly signal: AbortSignal;
}

const MAX_ANSWER_BYTES = 1024 * 1024;
const TOKEN = /^[\x21-\x7e]{1,65536}$/;

/**
 * Answers a registry's challenge: the `Authorization` of what is asked of it next, for reading one repository. Credentials go to the
 * registry itself, or to where {@link mayKnowCredentials} lets them.
 *
 * @throws TRELLIS_ARTIFACT_AUTH, _REDIRECT, _UNREACHABLE, _TIMEOUT
 */
export async function authorize(options: AuthorizeOptions): Promise<string> {
  const { credential, registry } = options;
  const challenges = readChallenges(options.challenge);
  const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
  if (bearer !== undefined) return `Bearer ${await fetchToken(options, bearer.parameters)}`;
  if (!challenges.some(({ scheme }) => scheme === 'basic')) throw refused(registry, 'asks for a login of an unknown kind');
  if (credential.kind !== 'basic') throw refused(registry, 'asks for user and password, and there are none for it here');
  return basic(credential);
}

/** Says that a registry does not let this host read. */
export function refused(registry: string, what: string): TrellisError {
  return new TrellisError('TRELLIS_ARTIFACT_AUTH', { message: `the registry ${registry} ${what}`, details: { registry } });
}

function basic({ username, password }: Extract<RegistryCredential, { kind: 'basic' }>): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

async function fetchToken(options: AuthorizeOptions, parameters: Readonly<Record<string, string>>): Promise<string> {
  const { registry, credential } = options;
  const realm = judgeRealm(parameters['realm'], options.isInsecure);
  if (!realm.ok) throw sentAway(`the registry ${registry} sends this host ${realm.reason}`);
  const { url } = realm;
  const shown = credential.kind === 'basic' || credential.kind === 'identity';
  if (shown && !mayKnowCredentials(registry, url, options.tokenHosts)) {
    throw sentAway(
      `the registry ${registry} wants its credentials to be told to ${url.host}`,
      `If that is right, add ${url.host} to artifacts.tokenHosts.`,
    );
  }
  // What is asked for is ours to say: a challenge may name more than reading this one repository.
  const query = new URLSearchParams({ scope: `repository:${options.repository}:pull` });
  const service = parameters['service'];
  if (service !== undefined && service.length <= 1_024) query.set('service', service);
  const isPost = credential.kind === 'identity';
  if (isPost) {
    query.set('grant_type', 'refresh_token');
    query.set('client_id', 'trellis');
    query.set('refresh_token', credential.token);
  } else for (const [name, value] of query) url.searchParams.set(name, value);
  const answer = await options.client.ask({
    url,
    ...(isPost ? { form: query.toString() } : {}),
    headers: credential.kind === 'basic' ? { authorization: basic(credential) } : {},
    maxBytes: MAX_ANSWER_BYTES,
    signal: options.signal,
    mayGoTo: (kind) => maySendTo(options.peer, kind),
  });
  if (answer.status === 429 || answer.status >= 500) throw unreachable(url, `answers ${answer.status}`);
  if (answer.status !== 200) throw refused(registry, `gives no token: ${url.host} answers ${answer.status}`);
  const token = tokenOf(answer.body);
  if (token === undefined) throw refused(registry, `gives no token: the answer of ${url.host} holds none`);
  return token;
}

function tokenOf(body: Buffer): string | undefined {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value !== 'object' || value === null) return undefined;
    const { token, access_token: access } = value as Readonly<Record<string, unknown>>;
    const found = typeof token === 'string' && token !== '' ? token : access;
    return typeof found === 'string' && TOKEN.test(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

function sentAway(message: string, remedy?: string): TrellisError {
  return new TrellisError('TRELLIS_ARTIFACT_REDIRECT', { message, ...(remedy === undefined ? {} : { remedy }) });
}
