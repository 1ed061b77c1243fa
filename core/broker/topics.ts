import type { Clock } from '../base/clock.ts';
import { MillstreamError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { Counter, Metrics } from '../base/metrics.ts';
import { type Random, uuidBytes } from '../base/random.ts';
import type { LogStore } from '../log/log.ts';
import type { Catalogue, CatalogueTopic } from './catalogue.ts';
import type { BrokerConfig } from './config.ts';
import { refused } from './kafka-error.ts';
import { Partition } from './partition.ts';
import { checkTopicConfig, type TopicSettings, topicSettings } from './topic-config.ts';
import { checkTopicName, collisionKey } from './topic-name.ts';

const OPEN_AT_ONCE = 32;
/** More would be a typing mistake: each is a folder with open files. */
const MAX_PARTITIONS = 10_000;

export interface NewTopic {
  name: string;
  /** Left out: the broker's default. */
  partitions?: number;
  /** Kafka's names. */
  configs?: Readonly<Record<string, string>>;
  internal?: boolean;
}

export class Topic {
  readonly name: string;
  /** 32 hex digits. */
  readonly id: string;
  readonly internal: boolean;
  /** Only what the topic sets itself. */
  configs: Readonly<Record<string, string>>;
  settings: TopicSettings;
  readonly partitions: Partition[] = [];
  /** Records appended, whoever wrote them. */
  readonly produced: Counter;

  constructor(stored: CatalogueTopic, settings: TopicSettings, metrics: Metrics) {
    this.name = stored.name;
    this.id = stored.id;
    this.internal = stored.internal;
    this.configs = stored.configs;
    this.settings = settings;
    this.produced = metrics.counter('millstream_messages_produced_total', 'Records appended.', { topic: stored.name });
  }
}

export interface TopicsOptions {
  catalogue: Catalogue;
  store: LogStore;
  config: BrokerConfig;
  clock: Clock;
  random: Random;
  logger: Logger;
  metrics: Metrics;
}

export type TopicEvent = { kind: 'created' | 'deleted' | 'changed'; topic: Topic };

/** The topics of this broker. Changes are durable before they are seen. */
export class Topics {
  private readonly options: TopicsOptions;
  private readonly byName = new Map<string, Topic>();
  private readonly byTopicId = new Map<string, Topic>();
  private readonly listeners = new Set<(event: TopicEvent) => void>();
  /** Changes of one topic run one behind the other. */
  private readonly changing = new Map<string, Promise<unknown>>();

  private constructor(options: TopicsOptions) {
    this.options = options;
  }

  /** Opens the logs of every topic in the catalogue. */
  static async open(options: TopicsOptions): Promise<Topics> {
    const topics = new Topics(options);
    const { catalogue, store } = options;
    if (!catalogue.existed) await topics.adoptLogs();
    for (const gone of catalogue.deleting.values()) await topics.removeLogs(gone);
    const opening: { topic: Topic; index: number }[] = [];
    for (const stored of catalogue.topics.values()) {
      const topic = new Topic(stored, topicSettings(stored.configs, options.config), options.metrics);
      topics.publish(topic);
      for (let index = 0; index < stored.partitions; index++) opening.push({ topic, index });
    }
    for (const partition of await topics.openAll(opening)) partition.topic.partitions[partition.index] = partition;
    if (store.failed) throw store.failed;
    return topics;
  }

  list(): Topic[] {
    return [...this.byName.values()];
  }

  get(name: string): Topic | undefined {
    return this.byName.get(name);
  }

  byId(topicId: string): Topic | undefined {
    return this.byTopicId.get(topicId);
  }

  /** Calls back after topics or partitions came or went, or settings changed. Returns the unsubscribe. */
  onChange(listener: (event: TopicEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Throws what `create` would throw for a topic that must not exist yet. */
  check(spec: NewTopic): void {
    checkTopicName(spec.name);
    if (this.byName.has(spec.name)) throw exists(spec.name);
    const twin = this.list().find(topic => collisionKey(topic.name) === collisionKey(spec.name));
    if (twin) {
      throw refused(
        'INVALID_TOPIC_EXCEPTION',
        `Topic '${spec.name}' collides with existing topic: ${twin.name} (they differ only in '.' and '_').`,
      );
    }
    if (spec.partitions !== undefined) checkPartitions(spec.partitions);
    for (const [name, value] of Object.entries(spec.configs ?? {})) checkTopicConfig(name, value);
  }

  /** Kind `invalid`: TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS or INVALID_CONFIG. */
  create(spec: NewTopic): Promise<Topic> {
    return this.inTurn(spec.name, async () => {
      this.check(spec);
      const { catalogue, config, random, metrics } = this.options;
      const stored: CatalogueTopic = {
        name: spec.name,
        id: Buffer.from(uuidBytes(random)).toString('hex'),
        partitions: spec.partitions ?? config.defaultPartitions,
        configs: { ...spec.configs },
        internal: spec.internal ?? false,
      };
      const topic = new Topic(stored, topicSettings(stored.configs, config), metrics);
      // Before the catalogue knows the topic: a start that finds logs of another one by its name does not go on.
      await this.removeLeftovers(stored.name);
      catalogue.topics.set(stored.name, stored);
      try {
        await catalogue.save();
        await this.openPartitions(topic, stored.partitions);
      } catch (error) {
        catalogue.topics.delete(stored.name);
        await catalogue.save().catch(() => {});
        throw error;
      }
      this.publish(topic);
      this.options.logger.info('topic created', { topic: topic.name, partitions: stored.partitions });
      this.tell({ kind: 'created', topic });
      return topic;
    });
  }

  /** The topic as it is, or a new one. Kind `conflict` when it has another number of partitions. */
  async ensure(spec: NewTopic): Promise<Topic> {
    let topic = this.byName.get(spec.name);
    if (!topic) {
      topic = await this.create(spec).catch(async (error: unknown) => {
        const there = this.byName.get(spec.name);
        if (!there) throw error;
        return there;
      });
    }
    if (spec.partitions !== undefined && topic.partitions.length !== spec.partitions) {
      throw new MillstreamError(
        'conflict',
        'PARTITION_COUNT_DIFFERS',
        `Topic '${spec.name}' has ${topic.partitions.length} partitions, not ${spec.partitions}.`,
      );
    }
    return topic;
  }

  /** Kind `invalid`, UNKNOWN_TOPIC_OR_PARTITION. The records are gone when it resolves. */
  delete(name: string): Promise<void> {
    return this.inTurn(name, async () => {
      const topic = this.require(name);
      const { catalogue, logger } = this.options;
      const stored = catalogue.topics.get(name);
      const gone = { name, id: topic.id, partitions: topic.partitions.length };
      catalogue.topics.delete(name);
      catalogue.deleting.set(topic.id, gone);
      try {
        await catalogue.save();
      } catch (error) {
        if (stored) catalogue.topics.set(name, stored);
        catalogue.deleting.delete(topic.id);
        throw error;
      }
      this.byName.delete(name);
      this.byTopicId.delete(topic.id);
      for (const partition of topic.partitions) partition.close();
      this.options.metrics.forget({ topic: name });
      this.tell({ kind: 'deleted', topic });
      logger.info('topic deleted', { topic: name });
      await this.removeLogs(gone);
    });
  }

  /** Changes settings; null takes a setting back to the broker's default. Kind `invalid`, INVALID_CONFIG. */
  configure(name: string, changes: Readonly<Record<string, string | null>>): Promise<void> {
    return this.inTurn(name, async () => {
      const topic = this.require(name);
      const configs: Record<string, string> = { ...topic.configs };
      for (const [key, value] of Object.entries(changes)) {
        if (value === null) delete configs[key];
        else {
          checkTopicConfig(key, value);
          configs[key] = value;
        }
      }
      await this.store(name, stored => ({ ...stored, configs }));
      topic.configs = configs;
      topic.settings = topicSettings(configs, this.options.config);
      for (const { log } of topic.partitions) log.configure(topic.settings.log);
      this.tell({ kind: 'changed', topic });
    });
  }

  /** Kind `invalid`, INVALID_PARTITIONS unless `count` is more than there are. */
  addPartitions(name: string, count: number): Promise<void> {
    return this.inTurn(name, async () => {
      const topic = this.require(name);
      this.checkMorePartitions(topic, count);
      await this.store(name, stored => ({ ...stored, partitions: count }));
      await this.openPartitions(topic, count);
      this.tell({ kind: 'changed', topic });
    });
  }

  checkMorePartitions(topic: Topic, count: number): void {
    checkPartitions(count);
    if (count <= topic.partitions.length) {
      throw refused(
        'INVALID_PARTITIONS',
        `The topic ${topic.name} currently has ${topic.partitions.length} partition(s); ${count} would not be an increase.`,
      );
    }
  }

  require(name: string): Topic {
    const topic = this.byName.get(name);
    if (!topic) throw refused('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic '${name}'.`);
    return topic;
  }

  private async store(name: string, change: (stored: CatalogueTopic) => CatalogueTopic): Promise<void> {
    const { catalogue } = this.options;
    const before = catalogue.topics.get(name);
    if (!before) throw refused('UNKNOWN_TOPIC_OR_PARTITION', `There is no topic '${name}'.`);
    catalogue.topics.set(name, change(before));
    try {
      await catalogue.save();
    } catch (error) {
      catalogue.topics.set(name, before);
      throw error;
    }
  }

  private async openPartitions(topic: Topic, count: number): Promise<void> {
    const have = topic.partitions.length;
    const missing = Array.from({ length: count - have }, (_, i) => ({ topic, index: have + i }));
    topic.partitions.push(...(await this.openAll(missing)));
  }

  /** Some at a time, in the order asked for. */
  private async openAll(wanted: readonly { topic: Topic; index: number }[]): Promise<Partition[]> {
    const opened: Partition[] = [];
    for (let at = 0; at < wanted.length; at += OPEN_AT_ONCE) {
      const some = wanted.slice(at, at + OPEN_AT_ONCE);
      opened.push(...(await Promise.all(some.map(({ topic, index }) => Partition.open(topic, index, this.options)))));
    }
    return opened;
  }

  private publish(topic: Topic): void {
    this.byName.set(topic.name, topic);
    this.byTopicId.set(topic.id, topic);
  }

  private tell(event: TopicEvent): void {
    for (const listener of this.listeners) listener(event);
  }

  private async inTurn<T>(name: string, change: () => Promise<T>): Promise<T> {
    const before = this.changing.get(name) ?? Promise.resolve();
    const turn = before.then(change, change);
    this.changing.set(name, turn);
    try {
      return await turn;
    } finally {
      if (this.changing.get(name) === turn) this.changing.delete(name);
    }
  }

  /** Logs of a topic that the catalogue does not know: its making failed half way. */
  private async removeLeftovers(name: string): Promise<void> {
    const { store } = this.options;
    for (const log of await store.list(name)) await store.remove(log);
  }

  /** Ends a deletion, also one that a crash interrupted. */
  private async removeLogs(gone: { name: string; id: string; partitions: number }): Promise<void> {
    const { catalogue, store } = this.options;
    for (let partition = 0; partition < gone.partitions; partition++) {
      await store.remove({ topic: gone.name, topicId: gone.id, partition });
    }
    catalogue.deleting.delete(gone.id);
    await catalogue.save();
  }

  /** Without a catalogue (lost, or logs from elsewhere) the logs on disk say which topics there are. */
  private async adoptLogs(): Promise<void> {
    const { catalogue, store, logger } = this.options;
    for (const { topic: name, topicId: id, partition } of await store.list()) {
      const stored = catalogue.topics.get(name);
      if (stored && stored.id !== id) continue;
      const partitions = Math.max(partition + 1, stored?.partitions ?? 0);
      catalogue.topics.set(name, { name, id, partitions, configs: {}, internal: name.startsWith('__') });
    }
    if (catalogue.topics.size > 0) {
      logger.warn('there was no topic catalogue; topics were found from their logs, with default settings', {
        topics: catalogue.topics.size,
      });
    }
    await catalogue.save();
  }
}

function checkPartitions(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > MAX_PARTITIONS) {
    throw refused('INVALID_PARTITIONS', `Number of partitions must be from 1 to ${MAX_PARTITIONS}, not ${count}.`);
  }
}

function exists(name: string): MillstreamError {
  return refused('TOPIC_ALREADY_EXISTS', `Topic '${name}' already exists.`);
}
