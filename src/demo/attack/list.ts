import type { Attack } from './attack.ts';
import { CREDENTIAL_ATTACKS } from './credential-attacks.ts';
import { DELEGATION_ATTACKS } from './delegation-attacks.ts';
import { ENVELOPE_ATTACKS } from './envelope-attacks.ts';
import { FRAME_ATTACKS } from './frame-attacks.ts';
import { PAYLOAD_ATTACKS } from './payload-attacks.ts';
import { PLACE_ATTACKS } from './place-attacks.ts';
import { REPLAY_ATTACKS } from './replay-attacks.ts';
import { REPLY_ATTACKS } from './reply-attacks.ts';
import { STREAM_ATTACKS } from './stream-attacks.ts';
import { TIME_ATTACKS } from './time-attacks.ts';

/** Every attack that is carried out, in the order of the plan; the replays come last, because one of them lets time pass. */
export const ATTACKS: readonly Attack[] = [
  ...[
    ...ENVELOPE_ATTACKS,
    ...TIME_ATTACKS,
    ...PAYLOAD_ATTACKS,
    ...PLACE_ATTACKS,
    ...DELEGATION_ATTACKS,
    ...FRAME_ATTACKS,
    ...STREAM_ATTACKS,
    ...REPLY_ATTACKS,
  ].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
  ...CREDENTIAL_ATTACKS,
  ...REPLAY_ATTACKS,
];
