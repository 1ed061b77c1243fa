import { type ErrorKind, MillstreamError } from '../../core/base/errors.ts';
import type { Reject, SinkErrorKind } from './contract.ts';

const KINDS: Record<SinkErrorKind, ErrorKind> = {
  transient: 'unavailable',
  throttled: 'unavailable',
  auth: 'unavailable',
  rejected: 'data',
  'too-large': 'data',
  schema: 'data',
  fenced: 'conflict',
  fatal: 'internal',
};

/** What a writer throws; `sinkKind` tells the runtime what to do. */
export class SinkError extends MillstreamError {
  readonly sinkKind: SinkErrorKind;
  readonly retryAfterMs: number | undefined;
  readonly rejected: readonly Reject[] | undefined;

  constructor(
    sinkKind: SinkErrorKind,
    code: string,
    message: string,
    options: { retryAfterMs?: number; rejected?: Reject[]; cause?: unknown; help?: string } = {},
  ) {
    super(KINDS[sinkKind], code, message, options);
    this.sinkKind = sinkKind;
    this.retryAfterMs = options.retryAfterMs;
    this.rejected = options.rejected;
  }
}
