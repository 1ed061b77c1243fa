import { type RunningSink, type SinkOptions, startSink } from './sink-runtime.ts';

export interface DrainOptions extends Omit<SinkOptions, 'plan'> {
  pipeline: string;
  /** `<pipeline>.dead`. */
  topic: string;
}

/**
 * Carries a pipeline's dead letters on to where people look, as one more sink: group millstream.<pipeline>.dead_letter.
 * It never makes dead letters of its own: what its connector refuses stays in the topic, and the log says so.
 */
export function startDeadLetterDrain({ pipeline, topic, ...options }: DrainOptions): RunningSink {
  return startSink({
    ...options,
    plan: {
      pipeline,
      name: 'dead_letter',
      topic,
      deadLetterTopic: null,
      accepts: () => true,
      // Somebody who tries a pipeline wants to see the letter at once.
      batch: { records: 500, bytes: 4 * 1024 * 1024, lingerMs: 20 },
      retry: { attempts: 8, fromMs: 200, toMs: 30_000, onExhausted: 'wait' },
      onGap: 'skip',
    },
  });
}
