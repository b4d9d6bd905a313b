import type { Audit } from '../telemetry/audit.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Denial, DenialCode } from '../trust/denial.ts';
import { deny } from '../trust/denial.ts';
import { newTokenId } from '../trust/signer.ts';
import type { CommandVerifier } from '../trust/verify-command.ts';
import type { BusMessage } from '../wrpc/bus.ts';
import type { Admission, AdmittedRequest, Refusal } from './interface/options.ts';
import { explainCommand } from './explain.ts';
import { COMMAND_HEADER } from './sign-control.ts';

/** What {@link admitSigned} takes. */
export interface SignedControlOptions {
  readonly verify: CommandVerifier;
  readonly audit: Audit;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'denied'>;
}

const SEND_AGAIN = 'the signature is too old or too early for this host: compare the clocks, and send it again';
const MINT = 'the delegation of this key does not count: have one minted (trellis keys delegate KEY --commands …)';
const LATER = 'the host cannot check the command now: send it again later';
const UNFIT = 'the signature does not fit this command: sign exactly what is sent, for this lattice and this subject';
const ALONE =
  'such a command is taken only if it is sent to one host alone, as trellis does with --sign-seed-file: whatever goes to one of several ' +
  'could be sent to another one as well';

/** What to do about a refusal. Only public keys are involved, so nothing in it helps anybody to forge. */
const ADVICE: Readonly<Partial<Record<DenialCode, string>>> = {
  TRELLIS_VERIFY_UNSIGNED:
    'this host takes signed commands only: trellis … --sign-seed-file FILE --sign-delegation-file FILE; wash and wadm cannot sign',
  TRELLIS_VERIFY_EARLY: SEND_AGAIN,
  TRELLIS_VERIFY_EXPIRED: SEND_AGAIN,
  TRELLIS_VERIFY_FENCED: SEND_AGAIN,
  TRELLIS_VERIFY_DELEGATION: MINT,
  TRELLIS_VERIFY_DELEGATION_EXPIRED: MINT,
  TRELLIS_VERIFY_EPOCH: MINT,
  TRELLIS_VERIFY_ISSUER: MINT,
  TRELLIS_VERIFY_REVOKED: 'this key has been revoked: use another one',
  TRELLIS_VERIFY_SCOPE:
    'this key may not give such a command: have a delegation minted that names it (trellis keys delegate KEY --commands …)',
  TRELLIS_VERIFY_REPLAYED: 'this is a copy of a command that came before: sign each one anew',
  TRELLIS_VERIFY_REPLAY_FULL: LATER,
  TRELLIS_VERIFY_DELEGATION_BUSY: LATER,
  TRELLIS_VERIFY_STALE: LATER,
};

/**
 * Decides over the requests of the control interface under `control.mode: signed`. What only reads is let in as it is. Whatever changes
 * something must be signed by an operator with the right to it, and runs once. What goes to whichever host takes it is refused even if
 * it is signed, for a copy of it would run on another one; it has to be sent to this host alone.
 */
export function admitSigned(options: SignedControlOptions): (message: BusMessage, request: AdmittedRequest) => Admission {
  const { verify, audit, log, metrics } = options;

  function refuse(operation: string, denial: Denial, advice: string): Refusal {
    const { jti: correlation = newTokenId(), iss: signer } = denial.said ?? {};
    const [code, detail] = ['TRELLIS_CONTROL_DENIED' as const, `${denial.code}: ${denial.detail}`];
    metrics.denied(code);
    audit.record({ kind: 'refused', code, operation, detail, signer, correlation });
    log.warn({ code, operation, detail, signer, correlation }, 'a control command was refused');
    return { refused: `${advice} (${explainCommand(correlation)})` };
  }

  return (message, { operation, changes, shared }) => {
    if (!changes) return 'ok';
    const token = message.header(COMMAND_HEADER.command);
    if (shared && token !== undefined) {
      return refuse(operation, deny('TRELLIS_VERIFY_BINDING', 'sent to one of several hosts'), ALONE);
    }
    const verdict = verify({
      token,
      delegation: message.header(COMMAND_HEADER.delegation),
      subject: message.subject,
      reply: message.reply,
      noun: operation.slice(0, operation.indexOf('.')),
      body: message.payload,
    });
    if (verdict.ok) return { signer: verdict.claims.iss };
    return refuse(operation, verdict, ADVICE[verdict.code] ?? UNFIT);
  };
}
