import { MillstreamError } from '../base/errors.ts';
import { ErrorCode } from '../protocol/error-codes.ts';

export { ErrorCode };

const byName: Readonly<Record<string, number>> = {
  ...ErrorCode,
  // Codes of the log that Kafka names otherwise. A full disk is retriable, as clients treat KAFKA_STORAGE_ERROR.
  CORRUPT_BATCH: ErrorCode.CORRUPT_MESSAGE,
  STORAGE_ERROR: ErrorCode.KAFKA_STORAGE_ERROR,
  DISK_FULL: ErrorCode.KAFKA_STORAGE_ERROR,
};

/** The number that goes on the wire. The broker's own errors carry Kafka's names as their code. */
export function errorCodeOf(error: unknown): number {
  if (!(error instanceof MillstreamError)) return ErrorCode.UNKNOWN_SERVER_ERROR;
  // Clients look for the leader anew and find us when we are back.
  if (error.kind === 'closed') return ErrorCode.NOT_LEADER_OR_FOLLOWER;
  return byName[error.code] ?? ErrorCode.UNKNOWN_SERVER_ERROR;
}

/** Kind `invalid` with one of Kafka's error names as code. */
export function refused(code: keyof typeof ErrorCode, message: string): MillstreamError {
  return new MillstreamError('invalid', code, message);
}
