import { isIP } from 'node:net';

/** True if a host name or address cannot be another computer: `localhost`, `127.0.0.0/8`, `::1`. Names are not looked up. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase();
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'));
}
