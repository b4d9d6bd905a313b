import type { Partition } from './partition.ts';

/** What one connection may do with one subject, found out by trying. */
export interface ProbeFinding {
  readonly partition: Partition;
  readonly action: 'publish' | 'subscribe';
  /** The subject that was tried: one that nobody uses, below the pattern in question. */
  readonly subject: string;
  /** What the subject stands for, in a few words: `commands to hosts`. */
  readonly about: string;
  /** What it has to be for the partition to hold, or for the host to work. */
  readonly expected: 'allowed' | 'refused';
  /**
   * `refused`: the server said no. `allowed`: the server took it, and nothing shows that it leads nowhere. `isolated`: the server
   * took it, and it did not arrive at the other connection, which listened: another account, or another server. `unknown`: no
   * answer either way, which is what a leaf node does with what its hub refuses.
   */
  readonly verdict: 'allowed' | 'refused' | 'isolated' | 'unknown';
}

/** True if a finding is what it has to be. `unknown` is not. */
export function isAsExpected({ expected, verdict }: ProbeFinding): boolean {
  return expected === 'allowed' ? verdict === 'allowed' : verdict === 'refused' || verdict === 'isolated';
}

/** A finding as a line: `rpc may publish to wasmbus.ctl.v1.lab.host.stop.X (commands to hosts)`. */
export function describeFinding({ partition, action, subject, about, expected, verdict }: ProbeFinding): string {
  const may =
    verdict === 'refused' ? 'may not' : verdict === 'allowed' ? 'may' : verdict === 'isolated' ? 'may, without effect,' : '';
  const what = `${action === 'publish' ? 'publish to' : 'subscribe to'} ${subject} (${about})`;
  return may === ''
    ? `${partition} should ${expected === 'allowed' ? '' : 'not '}${what}, and no answer shows it`
    : `${partition} ${may} ${what}`;
}
