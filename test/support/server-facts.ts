import { advisoriesFor, serverAdvisories } from '../../src/config/server-advisories.ts';

/** What a host in production must be allowed with the nats-server of this machine, which may be an old one. */
export function serverAllowances(version: string): string[] {
  return advisoriesFor(version, serverAdvisories()).some(({ critical }) => critical) ? ['vulnerable-server'] : [];
}

/** True if a server of this version tells the time to a user with credentials: from 2.10 on. */
export function tellsTime(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 2 || minor >= 10;
}
