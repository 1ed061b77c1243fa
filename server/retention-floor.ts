import type { PipelinePlan } from '../etl/definition/plan.ts';

/** Everything a topic's sinks have not taken yet stays, whatever its retention: what a person is told about lag is then
 * still there to be read. */
export type RetentionFloor = (topic: string, partition: number) => number;

/**
 * The lowest committed position of the sinks declared on a topic, 0 while one of them has none; no floor for topics
 * without sinks. The drain of the dead letters is a sink of their topic. `durable` is the position that a crash leaves:
 * a newer one may be lost, and with it the records above. A detached sink (see backlog.ts) holds nothing.
 */
export function retentionFloor(
  plans: readonly Pick<PipelinePlan, 'name' | 'sinks' | 'deadLetter' | 'deadLetterTopic'>[],
  durable: (group: string, topic: string, partition: number) => { offset: number } | null,
  isDetached: (pipeline: string, sink: string) => boolean = () => false,
): RetentionFloor {
  const readers = new Map<string, [pipeline: string, sink: string][]>();
  const add = (topic: string, pipeline: string, sink: string): void => {
    readers.set(topic, [...(readers.get(topic) ?? []), [pipeline, sink]]);
  };
  for (const plan of plans) {
    for (const sink of plan.sinks) add(sink.topic, plan.name, sink.name);
    if (plan.deadLetter) add(plan.deadLetterTopic, plan.name, 'dead_letter');
  }
  return (topic, partition) =>
    (readers.get(topic) ?? [])
      .filter(reader => !isDetached(...reader))
      .reduce(
        (floor, [pipeline, sink]) =>
          Math.min(floor, durable(`millstream.${pipeline}.${sink}`, topic, partition)?.offset ?? 0),
        Number.POSITIVE_INFINITY,
      );
}
