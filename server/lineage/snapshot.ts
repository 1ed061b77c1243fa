import type { EngineHost } from '../../core/engine/host.ts';
import { stepReplayTopic } from '../../core/engine/replay.ts';
import type { PartitionLog } from '../../core/log/log.ts';
import type { PipelinePlan } from '../../etl/definition/plan.ts';
import { freshTotals, parseTotals, type Totals } from '../../etl/runner/totals.ts';

/** A partition, and what of it belongs to the snapshot. */
export interface PartitionView {
  topic: string;
  partition: number;
  log: PartitionLog;
  from: number;
  end: number;
}

/** A source partition (of replays, too) and how far the pipeline is in it. */
export interface SourceView extends PartitionView {
  topicId: string;
  position: number;
  totals: Totals;
  isReplay: boolean;
}

export interface SinkView extends PartitionView {
  sink: string;
  position: number | null;
}

export interface Snapshot {
  sources: SourceView[];
  /** What steps write to. */
  outputs: PartitionView[];
  dead: PartitionView[];
  sinks: SinkView[];
}

/** Everything at one moment: a commit's outputs, position and totals change in one turn of the event loop, and this is one. */
export function snapshotOf(host: EngineHost, plan: PipelinePlan): Snapshot {
  const view = (topic: string): PartitionView[] =>
    Array.from({ length: host.topicInfo(topic)?.partitions ?? 0 }, (_, partition) => {
      const log = host.partitionLog(topic, partition) as PartitionLog;
      return { topic, partition, log, from: log.startOffset, end: log.endOffset };
    });
  const sources = (topic: string, isReplay: boolean): SourceView[] =>
    view(topic).flatMap(each => {
      const committed = host.committedOffset(`millstream.${plan.name}`, topic, each.partition);
      const topicId = host.topicInfo(topic)?.topicId ?? '';
      if (!committed) return [];
      const totals = parseTotals(committed.metadata, topicId, committed.offset) ?? freshTotals(committed.offset);
      return { ...each, topicId, position: committed.offset, totals, isReplay };
    });
  const hasSteps = plan.steps.length > 0;
  const sinks = plan.sinks.map(({ name, topic }) => ({ sink: name, topic }));
  if (plan.deadLetter) sinks.push({ sink: 'dead_letter', topic: plan.deadLetterTopic });
  return {
    sources: hasSteps ? [...sources(plan.source.topic, false), ...sources(stepReplayTopic(plan.name), true)] : [],
    outputs: hasSteps ? plan.outputs.flatMap(({ topic }) => view(topic)) : [],
    dead: view(plan.deadLetterTopic),
    sinks: sinks.flatMap(({ sink, topic }) =>
      view(topic).map(each => {
        const group = `millstream.${plan.name}.${sink}`;
        return { ...each, sink, position: host.committedOffset(group, topic, each.partition)?.offset ?? null };
      }),
    ),
  };
}
