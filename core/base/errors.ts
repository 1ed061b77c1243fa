/** What a caller can do about an error: the kind says it, the code names it, `help` tells a person. */
export type ErrorKind =
  /** The request, file or argument is wrong; the same call fails again. */
  | 'invalid'
  /** Something needed is not there now; the same call may work later. */
  | 'unavailable'
  /** Somebody else owns this now (fenced), or the state is not the expected one. */
  | 'conflict'
  /** A record or stored bytes are wrong: the record goes to the dead letters, the rest goes on. */
  | 'data'
  /** The component was closed. */
  | 'closed'
  /** A defect of ours. */
  | 'internal';

export interface ErrorOptionsWithHelp {
  /** May the same call succeed later without anybody changing anything? Default: true for `unavailable` only. */
  retriable?: boolean;
  /** One sentence: what a person can do. */
  help?: string;
  cause?: unknown;
}

/** The one error class. `code` is a stable UPPER_CASE name; the message is a sentence for people. */
export class MillstreamError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly retriable: boolean;
  readonly help: string | undefined;

  constructor(kind: ErrorKind, code: string, message: string, options: ErrorOptionsWithHelp = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'MillstreamError';
    this.kind = kind;
    this.code = code;
    this.retriable = options.retriable ?? kind === 'unavailable';
    this.help = options.help;
  }
}

/** Turns whatever was thrown into a MillstreamError, keeping it as the cause. */
export function asMillstreamError(thrown: unknown): MillstreamError {
  if (thrown instanceof MillstreamError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new MillstreamError('internal', 'INTERNAL', message, { cause: thrown });
}
