import { MillstreamError } from '../base/errors.ts';

/** The longest state that every engine can keep: Kafka's limit is 4,096 characters of offset metadata. */
export const MAX_STATE_CHARACTERS = 3000;

export function unknownPartition(topic: string, partition: number): MillstreamError {
  return new MillstreamError('invalid', 'UNKNOWN_TOPIC_OR_PARTITION', `there is no partition ${topic}-${partition}`);
}

/** Kind `invalid`, code STATE_TOO_LARGE. */
export function checkState(state: string | undefined): void {
  if (state === undefined || (state.length <= MAX_STATE_CHARACTERS && !/[^\x20-\x7e]/.test(state))) return;
  const message = `a state is at most ${MAX_STATE_CHARACTERS} ASCII characters`;
  throw new MillstreamError('invalid', 'STATE_TOO_LARGE', message);
}
