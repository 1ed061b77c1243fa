import { MillstreamError } from '../base/errors.ts';
import { errorCode } from './log-files.ts';

/** The bytes may be lost: read-only until a restart recovers what is really there. */
export function storageError(cause: unknown): MillstreamError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MillstreamError('unavailable', 'STORAGE_ERROR', `the log's disk failed: ${reason}`, {
    retriable: false,
    help: 'look at the disk, then restart: the log checks what it holds when it opens',
    cause,
  });
}

export function diskFull(cause: unknown): MillstreamError {
  return new MillstreamError('unavailable', 'DISK_FULL', 'there is no space left for the log', {
    help: 'free some space or shorten the retention; writing goes on by itself',
    cause,
  });
}

export function outOfRange(offset: number, from: number, to: number): MillstreamError {
  return new MillstreamError('invalid', 'OFFSET_OUT_OF_RANGE', `offset ${offset} is not between ${from} and ${to}`);
}

export function logClosed(name: string): MillstreamError {
  return new MillstreamError('closed', 'LOG_CLOSED', `the log ${name} is closed`);
}

export function isNoSpace(error: unknown): boolean {
  const code = errorCode(error);
  return code === 'ENOSPC' || code === 'EDQUOT';
}

/** What a write's error means to the caller. */
export function asUnavailable(error: unknown): MillstreamError {
  if (error instanceof MillstreamError) return error;
  return isNoSpace(error) ? diskFull(error) : storageError(error);
}

export function readFailed(name: string, cause: unknown): MillstreamError {
  return new MillstreamError('unavailable', 'STORAGE_ERROR', `the log ${name} could not be read`, { cause });
}

export function damaged(name: string, offset: number): MillstreamError {
  return new MillstreamError('data', 'CORRUPT_LOG', `the log ${name} holds no batch with offset ${offset}`, {
    help: 'its files were changed or damaged; a restart checks them',
  });
}
