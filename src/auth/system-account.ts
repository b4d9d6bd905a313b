import type { AccountExport } from './claims-shape.ts';

/** What the system account offers each account about itself, as `nsc` sets it up; the account's key stands in the subject. */
export const SYSTEM_EXPORTS: readonly AccountExport[] = [
  {
    name: 'account-monitoring-streams',
    subject: '$SYS.ACCOUNT.*.>',
    type: 'stream',
    account_token_position: 3,
    description: 'Account specific monitoring stream',
    info_url: 'https://docs.nats.io/nats-server/configuration/sys_accounts',
  },
  {
    name: 'account-monitoring-services',
    subject: '$SYS.REQ.ACCOUNT.*.*',
    type: 'service',
    response_type: 'Stream',
    account_token_position: 4,
    description: 'Request account specific monitoring services for: SUBSZ, CONNZ, LEAFZ, JSZ and INFO',
    info_url: 'https://docs.nats.io/nats-server/configuration/sys_accounts',
  },
];
