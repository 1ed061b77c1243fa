import { expect, test } from 'vitest';
import { ErrorCode, errorNameOf, isRetriable } from '../../../core/protocol/error-codes.ts';

test('codes have the names of Kafka and are numbered without gaps', () => {
  expect(ErrorCode.UNKNOWN_SERVER_ERROR).toBe(-1);
  expect(ErrorCode.UNSUPPORTED_VERSION).toBe(35);
  const codes = Object.values(ErrorCode).toSorted((a, b) => a - b);
  expect(codes).toEqual(codes.map((_, i) => i - 1));
  expect(errorNameOf(47)).toBe('INVALID_PRODUCER_EPOCH');
});

test('a code that is newer than the table reads as an unknown error that is not retried', () => {
  expect(errorNameOf(9999)).toBe('UNKNOWN_SERVER_ERROR');
  expect(isRetriable(9999)).toBe(false);
});

test('a moved leader is retriable, a record that is too large is not', () => {
  expect(isRetriable(ErrorCode.NOT_LEADER_OR_FOLLOWER)).toBe(true);
  expect(isRetriable(ErrorCode.MESSAGE_TOO_LARGE)).toBe(false);
});
