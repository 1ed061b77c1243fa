import type { Clock } from '../base/clock.ts';
import type { Disk } from '../base/disk.ts';
import type { Logger } from '../base/logger.ts';
import type { Metrics } from '../base/metrics.ts';
import { type Random, uuidBytes } from '../base/random.ts';
import { checkBatch } from '../log/batch.ts';
import type { Appended, LogStore, PartitionLog } from '../log/log.ts';
import type { SupportedRequest } from '../protocol/api.ts';
import { configHandlers } from './admin/config-handlers.ts';
import { metadataHandlers } from './admin/metadata.ts';
import { topicHandlers } from './admin/topic-handlers.ts';
import { Catalogue } from './catalogue.ts';
import type { BrokerConfig } from './config.ts';
import { deleteRecordsHandler } from './delete-records.ts';
import { fetchHandler } from './fetch.ts';
import { groupAdminHandlers } from './groups/admin-handlers.ts';
import { Coordinator } from './groups/coordinator.ts';
import type { EmbeddedMember } from './groups/embedded-members.ts';
import { groupHandlers } from './groups/group-handlers.ts';
import { offsetHandlers } from './groups/offset-handlers.ts';
import { Housekeeping } from './housekeeping.ts';
import { openInternal, settleInternal } from './internal-topic.ts';
import { refused } from './kafka-error.ts';
import { offsetForLeaderEpochHandler } from './leader-epoch.ts';
import { listOffsetsHandler } from './list-offsets.ts';
import { NO_MODULES, type OnProduce, screenBatches } from './on-produce.ts';
import { produceHandler } from './produce.ts';
import { ProducerIds } from './producer-ids.ts';
import type { Connection, Handlers, RequestContext } from './request.ts';
import { type NewTopic, type Topic, Topics } from './topics.ts';
import { Transactions } from './transactions/coordinator.ts';
import { transactionHandlers } from './transactions/handlers.ts';
import type { TransactionOwner } from './transactions/owner.ts';

export interface BrokerOptions {
  nodeId: number;
  rack?: string | undefined;
  /** Used when the data directory is new; else the one stored there stands. */
  clusterId?: string;
  store: LogStore;
  disk: Disk;
  /** Where the topic catalogue lies. */
  directory: string;
  clock: Clock;
  random: Random;
  logger: Logger;
  metrics: Metrics;
  config: BrokerConfig;
  /** What clients are told to connect to; asked at each answer, as the port may be known only later. */
  advertised: () => { host: string; port: number };
  /** Retention removes nothing at or above this offset; default: no floor. */
  retentionFloor?: (topic: string, partition: number) => number;
  /** Left out: records are stored as they come. */
  onProduce?: OnProduce;
}

export interface TopicInfo {
  topicId: string;
  name: string;
  partitions: number;
}

export const OFFSETS_TOPIC = '__consumer_offsets';

/**
 * The broker: Kafka's requests in, Kafka's responses out, and the same for those who live in this process. It knows
 * no sockets: a listener decodes frames, calls `handle` and keeps the order of answers.
 */
export class Broker {
  readonly nodeId: number;
  readonly clusterId: string;
  readonly topics: Topics;
  readonly groups: Coordinator;
  readonly transactions: Transactions;
  readonly housekeeping: Housekeeping;
  private readonly onProduce: OnProduce;
  private readonly handlers: Handlers;

  private constructor(options: BrokerOptions, parts: Parts) {
    const { nodeId, clock, logger, metrics, config, advertised } = options;
    const { topics, coordinator, transactions, producerIds, catalogue } = parts;
    const { clusterId } = catalogue;
    this.nodeId = nodeId;
    this.clusterId = clusterId;
    this.topics = topics;
    this.groups = coordinator;
    this.transactions = transactions;
    const { onProduce = NO_MODULES } = options;
    this.onProduce = onProduce;
    const latency = metrics.histogram(
      'millstream_produce_latency_seconds',
      'From the arrival of a produce request to its answer.',
    );
    const consumed = metrics.counter(
      'millstream_messages_consumed_total',
      'Records handed out to Kafka clients, those before a mid-batch offset left out.',
    );
    this.handlers = {
      ...metadataHandlers({ nodeId, clusterId, rack: options.rack ?? null, advertised, topics, config, logger }),
      ...topicHandlers(topics, config),
      ...configHandlers(topics, config, nodeId),
      ...groupHandlers(coordinator),
      ...groupAdminHandlers(coordinator),
      ...offsetHandlers(coordinator, topics),
      ...transactionHandlers({ transactions, producerIds, groups: coordinator, topics, logger }),
      0: produceHandler({ topics, transactions, onProduce, clock, logger, latency }),
      1: fetchHandler({ topics, clock, consumed }),
      2: listOffsetsHandler(topics),
      21: deleteRecordsHandler(topics),
      23: offsetForLeaderEpochHandler(topics),
    };
    const retentionFloor = options.retentionFloor ?? (() => Number.POSITIVE_INFINITY);
    this.housekeeping = new Housekeeping({ topics, coordinator, transactions, config, clock, logger, retentionFloor });
    topics.onChange(({ kind, topic }) => {
      if (kind !== 'deleted') return;
      coordinator.topicDeleted(topic.name).catch((error: unknown) => {
        logger.warn('positions on a deleted topic could not be removed', { topic: topic.name, error });
      });
    });
  }

  /** Opens or creates everything under `directory` and in `store`, recovering what a crash left. */
  static async open(options: BrokerOptions): Promise<Broker> {
    const { disk, directory, store, config, clock, random, logger, metrics } = options;
    const catalogue = await Catalogue.open(disk, directory, options.clusterId ?? newClusterId(random));
    const topics = await Topics.open({ catalogue, store, config, clock, random, logger, metrics });
    const partition = await openInternal(topics, OFFSETS_TOPIC, config);
    const coordinator = await Coordinator.open({ partition, config, clock, random, logger });
    await settleInternal(topics, OFFSETS_TOPIC, config);
    const producerIds = new ProducerIds(catalogue);
    const transactions = await Transactions.open({ topics, groups: coordinator, producerIds, config, clock, logger });
    return new Broker(options, { topics, coordinator, transactions, producerIds, catalogue });
  }

  /**
   * Answers one decoded request; null when none is to be sent. Never throws for what a client did. What lands in
   * `whenSent` gives memory of the answer back, once its bytes have left.
   */
  handle(request: SupportedRequest, connection: Connection, whenSent: (() => void)[] = []): ReturnType<AnyHandler> {
    const handler = this.handlers[request.apiKey] as AnyHandler | undefined;
    if (!handler) throw new TypeError(`no handler for api key ${request.apiKey}`);
    const { apiVersion, clientId } = request;
    return handler(request.body, { apiVersion, clientId: clientId ?? '', connection, whenSent });
  }

  /** Appends finished batches for someone in this process. Kind `invalid` or `data` when they are refused. */
  produce(topic: string, partition: number, bytes: Uint8Array): Appended {
    const found = this.topics.require(topic).partitions[partition];
    if (!found) throw refused('UNKNOWN_TOPIC_OR_PARTITION', `There is no partition ${topic}-${partition}.`);
    if (found.topic.internal) throw refused('INVALID_TOPIC_EXCEPTION', `${topic} is an internal topic.`);
    const headers = [];
    for (let at = 0; at < bytes.length; ) {
      const header = checkBatch(bytes, at);
      headers.push(header);
      at += header.sizeBytes;
    }
    return found.append(bytes, headers, 'own');
  }

  /** null when there is no such topic or partition. */
  log(topic: string, partition: number): PartitionLog | null {
    return this.topics.get(topic)?.partitions[partition]?.log ?? null;
  }

  /* What follows is the embedded engine's view of a broker (core/engine/host.ts). */

  async ensureTopic(spec: NewTopic): Promise<TopicInfo> {
    return infoOf(await this.topics.ensure(spec));
  }

  topicInfo(name: string): TopicInfo | null {
    const topic = this.topics.get(name);
    return topic ? infoOf(topic) : null;
  }

  partitionLog(topic: string, partition: number): PartitionLog | null {
    return this.log(topic, partition);
  }

  appendBatch(topic: string, partition: number, batch: Uint8Array): Appended {
    return this.produce(topic, partition, batch);
  }

  async appendProduced(topic: string, partition: number, batch: Uint8Array): Promise<Appended> {
    const { onProduce, topics } = this;
    const found = topics.get(topic)?.partitions[partition];
    if (!found || !onProduce.concerns(topic)) return this.produce(topic, partition, batch);
    const screened = screenBatches(onProduce, found.topic, found, batch, [checkBatch(batch)]);
    return found.inLine(screened, ({ bytes }) => this.produce(topic, partition, bytes));
  }

  /** The newest position, also while its sync is still under way: who asks lives and dies with this process. */
  committedOffset(group: string, topic: string, partition: number): { offset: number; metadata: string } | null {
    return this.groups.offsets.latest(group, topic, partition);
  }

  committedOffsets(
    group: string,
  ): { topic: string; partition: number; committed: { offset: number; metadata: string } }[] {
    return [...this.groups.offsets.of(group, 'latest')];
  }

  commitOffset(
    group: string,
    topic: string,
    partition: number,
    committed: { offset: number; metadata: string },
  ): Promise<void> {
    return this.groups.commitInternal(group, [{ topic, partition, ...committed }]);
  }

  /** Takes a transactional id over for someone in this process: fences its predecessor and ends what that left open. */
  ownTransactions(transactionalId: string): Promise<TransactionOwner> {
    return this.transactions.own(transactionalId);
  }

  setEmbeddedMembers(group: string, members: readonly EmbeddedMember[]): void {
    this.groups.setEmbeddedMembers(group, members);
  }

  onTopicsChanged(listener: () => void): () => void {
    return this.topics.onChange(listener);
  }

  /** Ends timers and held requests. The store belongs to whoever opened it and is closed after this. */
  async close(): Promise<void> {
    this.transactions.close();
    this.groups.close();
    await this.housekeeping.close();
  }
}

interface Parts {
  topics: Topics;
  coordinator: Coordinator;
  transactions: Transactions;
  producerIds: ProducerIds;
  catalogue: Catalogue;
}

/** The table pairs api keys and bodies; behind it they are objects. */
type AnyHandler = (
  body: unknown,
  context: RequestContext,
) => Readonly<Record<string, unknown>> | null | Promise<Readonly<Record<string, unknown>> | null>;

function infoOf(topic: Topic): TopicInfo {
  return { topicId: topic.id, name: topic.name, partitions: topic.partitions.length };
}

/** As Kafka's: a random UUID in URL-safe base64, 22 characters. */
function newClusterId(random: Random): string {
  return Buffer.from(uuidBytes(random)).toString('base64url');
}
