import { type ErrorKind, MillstreamError } from '../base/errors.ts';
import { ErrorCode, errorNameOf, isRetriable } from '../protocol/error-codes.ts';

/** A broker's answer was an error. `code` is Kafka's name for it. */
export class BrokerError extends MillstreamError {
  readonly errorCode: number;

  constructor(
    errorCode: number,
    doing: string,
    brokersWords: string | null = null,
    options: { retriable?: boolean; help?: string } = {},
  ) {
    const name = errorNameOf(errorCode);
    const words = brokersWords ?? SENTENCES.get(errorCode) ?? 'the broker refused';
    super(kindOf(errorCode), name, `${doing}: ${words} (${name}, ${errorCode})`, {
      retriable: isRetriable(errorCode),
      ...options,
    });
    this.name = 'BrokerError';
    this.errorCode = errorCode;
  }
}

/** Throws unless the code is NONE. `doing` begins the message: "topic orders", "group etl". */
export function refuse(errorCode: number, doing: string, brokersWords: string | null = null): void {
  if (errorCode !== ErrorCode.NONE) throw new BrokerError(errorCode, doing, brokersWords);
}

/** Nobody answered, or the connection broke: whether the request was carried out is unknown. */
export function unreachable(
  message: string,
  cause?: unknown,
  options: { retriable?: boolean; help?: string } = {},
): MillstreamError {
  return new MillstreamError('unavailable', 'UNREACHABLE', message, { cause, ...options });
}

/** Does another attempt, perhaps with newer metadata, make sense? */
export function mayRetry(error: unknown): error is MillstreamError {
  return error instanceof MillstreamError && error.retriable;
}

/** Errors after which this member or producer no longer owns what it wrote to. */
const FENCED: ReadonlySet<number> = new Set([
  ErrorCode.ILLEGAL_GENERATION,
  ErrorCode.UNKNOWN_MEMBER_ID,
  ErrorCode.REBALANCE_IN_PROGRESS,
  ErrorCode.FENCED_INSTANCE_ID,
  ErrorCode.INVALID_PRODUCER_EPOCH,
  ErrorCode.PRODUCER_FENCED,
  ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
  ErrorCode.UNKNOWN_PRODUCER_ID,
  ErrorCode.TRANSACTION_COORDINATOR_FENCED,
  ErrorCode.TOPIC_ALREADY_EXISTS,
  ErrorCode.NON_EMPTY_GROUP,
] satisfies number[]);

function kindOf(errorCode: number): ErrorKind {
  if (isRetriable(errorCode)) return 'unavailable';
  return FENCED.has(errorCode) ? 'conflict' : 'invalid';
}

const SENTENCES: ReadonlyMap<number, string> = new Map<number, string>([
  [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 'there is no such topic or partition'],
  [ErrorCode.TOPIC_ALREADY_EXISTS, 'it exists already'],
  [ErrorCode.INVALID_TOPIC_EXCEPTION, 'the name is not allowed'],
  [ErrorCode.OFFSET_OUT_OF_RANGE, 'the offset is not in the log'],
  [ErrorCode.MESSAGE_TOO_LARGE, 'the batch is larger than the broker takes'],
  [ErrorCode.UNSTABLE_OFFSET_COMMIT, 'a transaction that has not ended holds the position'],
  [ErrorCode.GROUP_ID_NOT_FOUND, 'there is no such group'],
  [ErrorCode.NON_EMPTY_GROUP, 'the group has members'],
  [ErrorCode.UNSUPPORTED_VERSION, 'the broker does not know a version of the request that we speak'],
  [ErrorCode.TOPIC_AUTHORIZATION_FAILED, 'not authorized for the topic'],
  [ErrorCode.GROUP_AUTHORIZATION_FAILED, 'not authorized for the group'],
]);
