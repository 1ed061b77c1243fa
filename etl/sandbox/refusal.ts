import { MillstreamError } from '../../core/base/errors.ts';

/** Kind `invalid`, code MODULE_REFUSED: what was found, and what is allowed. */
export function refused(found: string, cause?: unknown): MillstreamError {
  return new MillstreamError('invalid', 'MODULE_REFUSED', `the module is refused: ${found}`, { cause });
}
