import type { Lease, TopicId } from '../../core/engine/engine.ts';
import type { ChainSpec, Lane, LaneTask, Sandbox, TaskResult } from '../sandbox/sandbox.ts';
import { refused } from '../sandbox/state/changelog.ts';
import type { LaneTotals } from './lane-totals.ts';

export interface RecalledLaneOptions {
  sandbox: Sandbox;
  lease: Lease;
  chain: ChainSpec;
  totals: LaneTotals;
  changelog: { topic: string; topicId: TopicId };
}

/** As many digits of a topic's id as a position keeps. */
const ID_DIGITS = 8;
export const shortId = (topicId: TopicId): string => topicId.slice(0, ID_DIGITS);

/**
 * A lane whose steps keep state: it begins with what the changelog says at the committed position, and after a commit
 * that failed it begins there again, in instances that have seen nothing of what was not committed.
 */
export class RecalledLane implements Lane {
  private readonly options: RecalledLaneOptions;
  private lane: Promise<Lane> | null = null;

  constructor(options: RecalledLaneOptions) {
    this.options = options;
  }

  /** Kind `conflict`, code STATE_REFUSED when the position and the changelog do not belong together. */
  async run(task: LaneTask): Promise<TaskResult> {
    this.lane ??= this.open();
    const lane = await this.lane;
    return lane.run(task);
  }

  /** What the tasks so far have changed counts only as far as it is committed. */
  async reset(): Promise<void> {
    const { lane } = this;
    this.lane = null;
    await lane?.then(
      one => one.close(),
      () => {},
    );
  }

  close(): Promise<void> {
    return this.reset();
  }

  private async open(): Promise<Lane> {
    const { sandbox, lease, chain, totals, changelog } = this.options;
    const batches = await lease.recall(changelog.topic);
    const known = totals.committed.state;
    if (known === null && batches.length > 0) {
      throw refused(
        `the position says nothing of the state in ${changelog.topic}: it was moved, or the state is another's`,
      );
    }
    if (known !== null && known.changelog !== shortId(changelog.topicId)) {
      throw refused(`the topic ${changelog.topic} was deleted: the state at the position is lost`);
    }
    return sandbox.openLane(chain, { batches, partitions: lease.partitions, entries: known?.entries ?? null });
  }
}
