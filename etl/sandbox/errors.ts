import { MillstreamError } from '../../core/base/errors.ts';

/** Kind `invalid`, code MODULE_REFUSED: what was found, and what is allowed. */
export function refused(found: string, cause?: unknown): MillstreamError {
  return new MillstreamError('invalid', 'MODULE_REFUSED', `the module is refused: ${found}`, { cause });
}

export function closed(): MillstreamError {
  return new MillstreamError('closed', 'SANDBOX_CLOSED', 'the sandbox was closed');
}

/** The module of a step does not start: its own refusal, a trap, or too much time. */
export function initFailed(step: string, why: string, cause?: unknown): MillstreamError {
  return new MillstreamError('invalid', 'MODULE_INIT_FAILED', `the module of step "${step}" does not start: ${why}`, {
    help: "Check the step's config against what the module says about it.",
    cause,
  });
}
