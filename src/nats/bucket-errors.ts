import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import { errors, RequestError } from 'nats';

/** JetStream: a stream of this name exists, with other settings. */
const NAME_IN_USE = 10_058;
/** JetStream: not on this server; not for this account. */
export const NOT_ENABLED: ReadonlySet<number> = new Set([10_076, 10_039]);

/** True if JetStream says that there is no such bucket. */
export function isNotFound(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;
}

/** True if there is no JetStream: nobody answers for it, or it is switched off for the account. */
export function isWithoutJetStream(error: unknown): boolean {
  if (error instanceof JetStreamApiError) return NOT_ENABLED.has(error.code);
  return error instanceof Error && error.cause instanceof RequestError && error.cause.isNoResponders();
}

/** True if the server lets this user not even ask. */
export function isRefused(error: unknown): boolean {
  const { PermissionViolationError } = errors;
  return error instanceof Error && (error instanceof PermissionViolationError || error.cause instanceof PermissionViolationError);
}

/** True if a write expected another entry than there is. */
export function isWrongSequence(error: unknown): boolean {
  return (
    error instanceof JetStreamApiError &&
    (error.code === JetStreamApiCodes.StreamWrongLastSequence || error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
  );
}

/** True if a bucket of the name was made meanwhile, with other settings. */
export function isNameInUse(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === NAME_IN_USE;
}
