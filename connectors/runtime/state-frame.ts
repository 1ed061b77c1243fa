import { MillstreamError } from '../../core/base/errors.ts';

/*
 * A connector's state as it is committed beside the position: v1:<topicId>:<state>. The topic id tells a state of a
 * deleted topic of the same name from one of this topic. The whole is at most 3,000 printable ASCII characters: Kafka
 * keeps 4,096 of offset metadata, and past that the position does not move either.
 */
const LIMIT = 3000;
const FRAME = /^v1:([0-9a-f]{32}):/;

/** What is left for the connector's own state. */
export const MOST_STATE_CHARACTERS = LIMIT - 'v1:'.length - 32 - ':'.length;

/** Kind `internal`, code BAD_SINK_STATE when the connector's state does not fit. */
export function frameState(topicId: string, state: string): string {
  const framed = `v1:${topicId}:${state}`;
  if (framed.length > LIMIT || /[^\x20-\x7e]/.test(framed)) {
    throw new MillstreamError(
      'internal',
      'BAD_SINK_STATE',
      `the connector's state has ${framed.length} characters; ${LIMIT} printable ASCII ones are allowed`,
    );
  }
  return framed;
}

/** The state without its frame; `foreign` when it belongs to another topic or is no frame of ours. `topicId` null: of
 * whatever topic. */
export function unframeState(topicId: string | null, framed: string): { state: string } | 'foreign' {
  const frame = FRAME.exec(framed);
  if (!frame || (topicId !== null && frame[1] !== topicId)) return 'foreign';
  return { state: framed.slice(frame[0].length) };
}
