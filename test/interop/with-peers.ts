import { describe, it } from 'vitest';
import { missing, type Peer } from './peer-programs.ts';

/**
 * A `describe` whose tests drive real peers. Where one of them is not on this machine, each test is reported as not run and a
 * line says why; with `INTEROP=required` in the environment that is a failure.
 */
export function describeWithPeers(name: string, peers: readonly Peer[], tests: () => void): void {
  const away = [...new Set(missing(peers).map((peer) => `${peer.name} ${peer.version}`))];
  if (away.length === 0) {
    describe(name, tests);
    return;
  }
  const why = `${name}: NOT RUN, as ${away.join(' and ')} cannot be found: run test/interop/peers.sh`;
  if (process.env['INTEROP'] === 'required') {
    describe(name, () => {
      it('has its peers', () => {
        throw new Error(why);
      });
    });
    return;
  }
  console.error(why);
  describe.skip(why, tests);
}
