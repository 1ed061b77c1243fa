import { MillstreamError } from '../../core/base/errors.ts';
import { Admin } from '../../core/client/admin.ts';
import { BrokerError } from '../../core/client/broker-error.ts';
import type { Cluster } from '../../core/client/cluster.ts';
import { type CommittedOffset, commitOffsets, committedOffsets } from '../../core/client/group-offsets.ts';
import { listOffsets } from '../../core/client/list-offsets.ts';
import { keyOf } from '../../core/client/topic-partition.ts';
import { sinkReplayTopic } from '../../core/engine/replay.ts';
import { frameState } from '../../connectors/runtime/state-frame.ts';
import type { PipelineStatus } from '../pipeline-status.ts';
import { type Command, EXIT, table, text, usageError } from './command.ts';
import { ask } from './http-client.ts';
import { BROKERS_OPTION, SERVER_OPTION, serverOf } from './target.ts';
import { withCluster } from './with-cluster.ts';

export const list: Command = {
  usage: 'sink list [--json]',
  summary: 'list the sinks of a running server, how far behind they are, and what holds them up',
  words: [0, 0],
  options: { ...SERVER_OPTION, json: { type: 'boolean', help: 'as JSON' } },
  async run(_words, values, io) {
    const response = await ask(serverOf(values, io), '/api/v1/pipelines');
    const { pipelines } = (await response.json()) as { pipelines: PipelineStatus[] };
    const sinks = pipelines.flatMap(({ name, sinks: own }) => own.map(sink => ({ pipeline: name, ...sink })));
    if (values['json'] === true) io.out(`${JSON.stringify(sinks, null, 2)}\n`);
    else if (sinks.length === 0) io.err('no sinks: a pipeline file declares them\n');
    else {
      const rows = sinks.map(s => [s.pipeline, s.name, s.type, s.state, s.written, s.rejected, s.lag, s.reason ?? '']);
      io.out(table(['PIPELINE', 'SINK', 'TYPE', 'STATE', 'WRITTEN', 'REJECTED', 'LAG', 'REASON'], rows));
    }
    return EXIT.ok;
  },
};

export const reset: Command = {
  usage: 'sink reset PIPELINE SINK [--to earliest|latest|OFFSET]',
  summary: 'let a stopped sink begin with an empty state, at its position or another one',
  words: [2, 2],
  options: {
    ...BROKERS_OPTION,
    to: { type: 'string', help: 'where it goes on: earliest, latest or an offset (default: where it is)' },
  },
  async run([pipeline = '', sink = ''], values, io) {
    const to = text(values, 'to');
    if (to !== undefined && to !== 'earliest' && to !== 'latest' && !/^\d{1,15}$/.test(to)) {
      throw usageError(`--to takes earliest, latest or an offset, not "${to}"`);
    }
    const group = `millstream.${pipeline}.${sink}`;
    const positions = await withCluster(values, io, cluster => resetGroup(cluster, group, { pipeline, sink, to }));
    const rows = positions.map(({ before, offset, topic, partition }) => [topic, partition, before, offset]);
    io.out(table(['TOPIC', 'PARTITION', 'BEFORE', 'NOW'], rows));
    io.err('the sink begins there when the server starts next\n');
    return EXIT.ok;
  },
};

type Moved = CommittedOffset & { before: number };

/** Every position of the group gets an empty state; those of the topic that the sink is declared on are moved. */
async function resetGroup(
  cluster: Cluster,
  group: string,
  { pipeline, sink, to }: { pipeline: string; sink: string; to: string | undefined },
): Promise<Moved[]> {
  const known = [...(await committedOffsets(cluster, group, null)).values()];
  if (known.length === 0) {
    throw new MillstreamError('invalid', 'NO_POSITION', `the sink ${sink} of ${pipeline} has no position yet`, {
      help: '`millstream group list` shows who has.',
    });
  }
  const ids = new Map((await new Admin(cluster).topics.list()).map(({ name, topicId }) => [name, topicId]));
  const moving = known.filter(({ topic }) => topic !== sinkReplayTopic(pipeline, sink));
  const ends =
    to === 'earliest' || to === 'latest' ? await listOffsets(cluster, moving, to) : new Map<string, number>();
  const wanted = known.map((one): Moved => {
    const isMoving = to !== undefined && moving.includes(one);
    const offset = isMoving ? (ends.get(keyOf(one)) ?? Number(to)) : one.offset;
    return { ...one, before: one.offset, offset, metadata: frameState(ids.get(one.topic) ?? '', '') };
  });
  try {
    await commitOffsets(cluster, group, null, wanted);
  } catch (error) {
    if (!(error instanceof BrokerError) || error.code !== 'UNKNOWN_MEMBER_ID') throw error;
    throw new MillstreamError('conflict', 'SINK_RUNS', `the sink ${sink} of ${pipeline} runs`, {
      help: 'Only a sink that has stopped can be reset: take it out of the pipeline file for a while, or start the server with [etl] enabled = false.',
      cause: error,
    });
  }
  return wanted;
}
