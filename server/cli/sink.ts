import { Admin } from '../../core/client/admin.ts';
import { sinkReplayTopic } from '../../core/engine/replay.ts';
import { frameState } from '../../connectors/runtime/state-frame.ts';
import type { PipelineStatus } from '../pipeline-status.ts';
import { type Command, EXIT, table } from './command.ts';
import { ask } from './http-client.ts';
import { resetGroup, TO_OPTION, toOf } from './reset-group.ts';
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
  options: { ...BROKERS_OPTION, ...TO_OPTION },
  async run([pipeline = '', sink = ''], values, io) {
    const to = toOf(values);
    const positions = await withCluster(values, io, async cluster => {
      const ids = new Map((await new Admin(cluster).topics.list()).map(({ name, topicId }) => [name, topicId]));
      return resetGroup(cluster, {
        group: `millstream.${pipeline}.${sink}`,
        who: `the sink ${sink} of ${pipeline}`,
        howToStop:
          'Only a sink that has stopped can be reset: take it out of the pipeline file for a while, or start the server with [etl] enabled = false.',
        to,
        moves: topic => topic !== sinkReplayTopic(pipeline, sink),
        stateOf: ({ topic }) => frameState(ids.get(topic) ?? '', ''),
      });
    });
    const rows = positions.map(({ before, offset, topic, partition }) => [topic, partition, before, offset]);
    io.out(table(['TOPIC', 'PARTITION', 'BEFORE', 'NOW'], rows));
    io.err('the sink begins there when the server starts next\n');
    return EXIT.ok;
  },
};
