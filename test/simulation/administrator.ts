import type { Random } from '../../core/base/random.ts';
import { encodeBatch } from '../../core/log/record.ts';
import type { Histories } from './reader.ts';
import { batchesOf } from './checker/batches.ts';
import type { Life } from './life.ts';

type Fate = 'asked for' | 'there' | 'asked to go' | 'gone';

/** Names of short-lived topics: few, so that they are made again. */
const NAMES = ['tmp-a', 'tmp-b'];
const GROUP = 'watchers';

/**
 * Makes and deletes topics, deletes records that everybody has passed, commits positions of a group: whatever was
 * answered is so after any restart.
 */
export class Administrator {
  private readonly random: Random;
  private readonly histories: Histories;
  /** The highest offset that a partition's records may be deleted below. */
  private readonly floor: (topic: string, partition: number) => number;
  private readonly topics = new Map<string, { fate: Fate; values: string[]; since: number }>();
  /** Positions asked for since the last that was acknowledged, which is the first. */
  private positions: number[] = [-1];
  private count = 0;
  made = 0;

  constructor(random: Random, histories: Histories, floor: (topic: string, partition: number) => number) {
    this.random = random;
    this.histories = histories;
    this.floor = floor;
  }

  async once(life: Life): Promise<void> {
    const luck = this.random.float();
    if (luck < 0.45) await this.topic(life, NAMES[this.below(NAMES.length)] as string);
    else if (luck < 0.75) await this.commit(life);
    else await this.deleteRecords(life);
  }

  /** After a start. */
  async check(life: Life): Promise<void> {
    for (const [name, topic] of this.topics) {
      const isThere = life.broker.topics.get(name) !== undefined;
      if (topic.fate === 'there' && !isThere) throw new Error(`topic ${name} was made and is not there`);
      if (topic.fate === 'gone' && isThere) throw new Error(`topic ${name} was deleted and is there`);
      topic.fate = isThere ? 'there' : 'gone';
      if (!isThere) topic.values = [];
      else await this.checkValues(life, name, topic);
    }
    const answer = await life.ask(9, 7, {
      groupId: GROUP,
      topics: [{ name: 'in', partitionIndexes: [0] }],
      groups: [],
    });
    const at = answer.topics[0]?.partitions[0]?.committedOffset ?? -1;
    if (!this.positions.includes(at)) throw new Error(`${GROUP} is at ${at}, not at one of ${this.positions.join()}`);
    this.positions = [at];
  }

  private async topic(life: Life, name: string): Promise<void> {
    const known = this.topics.get(name);
    if (known?.fate === 'there')
      return known.values.length < 3 ? this.write(life, name, known.values) : this.drop(life, name);
    const configs = [{ name: 'retention.ms', value: '-1' }];
    this.topics.set(name, { fate: 'asked for', values: [], since: this.count });
    const topics = [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs }];
    const { topics: answers } = await life.ask(19, 7, { topics, timeoutMs: 1000 });
    if (answers[0]?.errorCode !== 0) throw new Error(`making ${name}: error ${answers[0]?.errorCode}`);
    this.topics.set(name, { fate: 'there', values: [], since: this.count });
    this.made++;
  }

  private async drop(life: Life, name: string): Promise<void> {
    const topic = this.topics.get(name);
    if (topic) topic.fate = 'asked to go';
    const { responses } = await life.ask(20, 5, { topicNames: [name], timeoutMs: 1000, topics: [] });
    if (responses[0]?.errorCode !== 0) throw new Error(`deleting ${name}: error ${responses[0]?.errorCode}`);
    this.topics.set(name, { fate: 'gone', values: [], since: this.count });
  }

  /** Acknowledged values come back; others may be there, but none of an earlier topic of that name. */
  private async write(life: Life, name: string, values: string[]): Promise<void> {
    const value = `${name}.${this.count++}`;
    const records = encodeBatch([{ timestamp: life.clock.now(), key: null, value: Buffer.from(value) }]);
    const topicData = [{ name, partitionData: [{ index: 0, records }] }];
    const answer = await life.ask(0, 9, { transactionalId: null, acks: -1, timeoutMs: 1000, topicData });
    const errorCode = answer.responses[0]?.partitionResponses[0]?.errorCode;
    if (errorCode !== 0) throw new Error(`writing to ${name}: error ${errorCode}`);
    values.push(value);
  }

  private async checkValues(
    life: Life,
    topic: string,
    { values, since }: { values: readonly string[]; since: number },
  ): Promise<void> {
    const found: string[] = [];
    for (let fetchOffset = 0; ; ) {
      const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1e6 }];
      const asked = { maxWaitMs: 0, minBytes: 0, maxBytes: 1e7, isolationLevel: 0, topics: [{ topic, partitions }] };
      const answer = (await life.ask(1, 11, asked)).responses[0]?.partitions[0];
      const batches = batchesOf(answer?.records ?? new Uint8Array());
      if (batches.length === 0) break;
      found.push(...batches.flatMap(({ records }) => records.map(({ value }) => value ?? '')));
      fetchOffset = (batches.at(-1)?.last ?? 0) + 1;
    }
    const isOld = (value: string): boolean => Number(value.slice(topic.length + 1)) < since;
    if (values.some(value => !found.includes(value)) || found.some(isOld)) {
      throw new Error(`${topic} holds ${found.join()}, acknowledged were ${values.join()}`);
    }
  }

  private async commit(life: Life): Promise<void> {
    const committedOffset = this.below(1 + this.histories.of('in', 0).servedEnd);
    this.positions.push(committedOffset);
    const partitions = [{ partitionIndex: 0, committedOffset, committedMetadata: null }];
    const answer = await life.ask(8, 7, { groupId: GROUP, memberId: '', topics: [{ name: 'in', partitions }] });
    const errorCode = answer.topics[0]?.partitions[0]?.errorCode;
    if (errorCode !== 0) throw new Error(`a commit of ${GROUP}: error ${errorCode}`);
    this.positions = [committedOffset];
  }

  private async deleteRecords(life: Life): Promise<void> {
    const topic = this.random.float() < 0.6 ? 'in' : 'odd';
    const partitionIndex = this.below(this.histories.partitions);
    const log = life.broker.log(topic, partitionIndex);
    if (!log) return;
    const most = Math.min(this.floor(topic, partitionIndex), log.highWatermark);
    const offset = log.startOffset + this.below(1 + Math.max(0, most - log.startOffset));
    const topics = [{ name: topic, partitions: [{ partitionIndex, offset }] }];
    const answer = (await life.ask(21, 2, { topics, timeoutMs: 1000 })).topics[0]?.partitions[0];
    if (answer?.errorCode !== 0) throw new Error(`deleting records of ${topic}: error ${answer?.errorCode}`);
    const history = this.histories.of(topic, partitionIndex);
    history.deletedTo = Math.max(history.deletedTo, answer.lowWatermark);
  }

  private below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }
}
