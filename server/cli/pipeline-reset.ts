import { Admin } from '../../core/client/admin.ts';
import { stepReplayTopic } from '../../core/engine/replay.ts';
import { stateSpec } from '../../etl/definition/plan.ts';
import { freshTotals, parseTotals, writeTotals } from '../../etl/runner/totals.ts';
import { type Command, EXIT, table } from './command.ts';
import { type Moved, resetGroup, TO_OPTION, toOf } from './reset-group.ts';
import { BROKERS_OPTION } from './target.ts';
import { withCluster } from './with-cluster.ts';

export const reset: Command = {
  usage: 'pipeline reset PIPELINE [--to earliest|latest|OFFSET]',
  summary: 'let the steps of a stopped pipeline begin with an empty state, at its position or another one',
  words: [1, 1],
  options: { ...BROKERS_OPTION, ...TO_OPTION },
  async run([pipeline = ''], values, io) {
    const to = toOf(values);
    const { name: changelog } = stateSpec(pipeline, 1);
    const { positions, hadState } = await withCluster(values, io, async cluster => {
      const { topics } = new Admin(cluster);
      const ids = new Map((await topics.list()).map(({ name, topicId }) => [name, topicId]));
      const moved = await resetGroup(cluster, {
        group: `millstream.${pipeline}`,
        who: `the pipeline ${pipeline}`,
        howToStop:
          'Only a pipeline that does not run can be reset: take its file away for a while, or start the server with [etl] enabled = false.',
        to,
        moves: topic => topic !== stepReplayTopic(pipeline),
        stateOf: one => withoutState(one, ids.get(one.topic) ?? ''),
        // The state before the position: whatever ends this half way, the position says that the state is missing.
        before: async () => {
          if (ids.has(changelog)) await topics.delete(changelog);
        },
      });
      return { positions: moved, hadState: ids.has(changelog) };
    });
    const rows = positions.map(({ before, offset, topic, partition }) => [topic, partition, before, offset]);
    io.out(table(['TOPIC', 'PARTITION', 'BEFORE', 'NOW'], rows));
    io.err(`${hadState ? `the state in ${changelog} is gone` : 'there was no state'}; `);
    io.err('the pipeline begins there when the server starts next\n');
    return EXIT.ok;
  },
};

/** The totals go on, unless the position moves: records would be counted twice, or not at all. */
function withoutState({ metadata, before, offset }: Moved, topicId: string): string {
  const totals = parseTotals(metadata, topicId, before);
  if (!totals) return metadata ?? '';
  return writeTotals(offset === before ? { ...totals, state: null } : freshTotals(offset), topicId);
}
