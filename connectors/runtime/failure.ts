import { MillstreamError } from '../../core/base/errors.ts';
import type { Reject, SinkErrorKind } from './contract.ts';
import { SinkError } from './sink-error.ts';

/** What the runtime knows about an error that a connector threw. */
export interface Failure {
  /** `unknown`: the connector could not say; tried again a bounded number of times. */
  kind: SinkErrorKind | 'unknown';
  code: string;
  /** One sentence, for the status and the dead letter. */
  reason: string;
  retryAfterMs: number;
  rejected: readonly Reject[];
}

export function failureOf(thrown: unknown): Failure {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  if (thrown instanceof SinkError) {
    const { sinkKind: kind, code, retryAfterMs = 0, rejected = [] } = thrown;
    return { kind, code, reason, retryAfterMs, rejected };
  }
  if (thrown instanceof MillstreamError) {
    return { kind: kindOf(thrown), code: thrown.code, reason, retryAfterMs: 0, rejected: [] };
  }
  return { kind: 'unknown', code: systemCodeOf(thrown), reason, retryAfterMs: 0, rejected: [] };
}

function kindOf(error: MillstreamError): Failure['kind'] {
  switch (error.kind) {
    case 'unavailable':
      return 'transient';
    case 'data':
      return 'rejected';
    case 'conflict':
      return 'fenced';
    case 'invalid':
    case 'closed':
    case 'internal':
      return 'unknown';
  }
}

/** Node's errors carry ECONNRESET and the like; a dead letter should name it. */
function systemCodeOf(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined;
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]*$/.test(code) ? code : 'SINK_FAILED';
}
