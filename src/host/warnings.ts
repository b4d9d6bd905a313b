import type { HostConfig } from '../config/schema.ts';
import type { Member } from '../member.ts';
import type { Logger } from '../telemetry/log.ts';
import { scopeTest } from '../trust/scope.ts';

/** Says at the start, each time, what of this host is less than a lattice can have. */
export function sayWhatIsUnusual(config: HostConfig, member: Member, log: Logger): void {
  if (member.adHoc)
    log.warn(
      { issuer: member.trust.active },
      'no cluster seed is configured: this host delegates to itself with an ad hoc key and believes no other host',
    );
  if (member.wasmbus.issuer !== undefined) {
    log.warn(
      { issuer: member.wasmbus.issuer },
      'calls to wasmCloud 0.82 peers are signed with a key that speaks for every origin there, and their answers are not signed',
    );
  }
  const mayAnswer = scopeTest(member.delegation.held.claims.tgt);
  for (const { id: component } of config.components.filter(({ id }) => !mayAnswer(id)))
    log.warn({ component }, 'the delegation of this host does not name a component: its answers will not be believed');
  if (config.trust.verify !== 'enforce')
    log.warn({ verify: config.trust.verify }, 'invocations that are not properly signed are NOT refused');

  for (const { source, target, interface: wit } of config.trust.unsigned)
    log.warn(
      { source, target, interface: wit },
      'this pair may stay UNSIGNED, streams included: whoever can publish may call or answer as it',
    );
}
