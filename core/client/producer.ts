import { asMillstreamError, MillstreamError } from '../base/errors.ts';
import { partitionFor } from '../base/murmur2.ts';
import type { Codec } from '../log/batch.ts';
import type { Header } from '../log/record.ts';
import type { Cluster } from './cluster.ts';
import type { TopicMetadata } from './cluster-metadata.ts';
import { awaitTopic } from './await-topic.ts';
import { type Delivery, PartitionQueue, type QueueContext } from './partition-queue.ts';
import { ProduceCombiner } from './produce-combiner.ts';
import { newIdentity, type ProducerIdentity } from './producer-identity.ts';

export interface OutgoingRecord {
  key: Uint8Array | null;
  value: Uint8Array | null;
  headers?: readonly Header[];
  /** Milliseconds since the epoch; default now. */
  timestamp?: number;
  /** Default: by the key's hash as Java does, or without a key to one partition at a time. */
  partition?: number;
}

/** Where a record went. */
export interface Produced {
  partition: number;
  /** -1 when the broker had it already and no longer knows where. */
  offset: number;
  timestamp: number;
}

export interface ProducerOptions {
  /** 'all' (default): answered when the record is safe in all in-sync replicas; 'leader': in the leader. */
  acks?: 'all' | 'leader';
  /** A retried batch is stored once (KIP-98). Default true; needs acks 'all'. */
  idempotent?: boolean;
  compression?: Codec;
  /** How long a batch waits for more records. Default 0: what is sent in one turn of the event loop goes together. */
  lingerMs?: number;
  /** Records of a partition are gathered up to this size before compression. Default 900 KiB. */
  maxBatchBytes?: number;
  /** `ready()` waits while more than this is not yet acknowledged. Default 32 MiB. */
  maxBufferedBytes?: number;
  /** A record that is not acknowledged after this time fails. Default 120 s. */
  deliveryTimeoutMs?: number;
  /** Ask the broker to create missing topics. Default true. */
  createTopics?: boolean;
}

interface TopicQueues {
  metadata: TopicMetadata | null;
  /** Sends that wait for the topic's metadata, in order. */
  waiting: { records: readonly OutgoingRecord[]; delivery: Delivery }[];
  /** Settled when nothing waits for metadata. */
  loading: Promise<void>;
  queues: Map<number, PartitionQueue>;
  /** Where records without a key go until its batch is closed. */
  sticky: PartitionQueue | null;
}

const DONE = Promise.resolve();

/** Sends records. Order is kept per partition, also across retries. */
export class Producer {
  private readonly cluster: Cluster;
  private readonly context: QueueContext;
  private readonly options: ProducerOptions;
  private readonly topics = new Map<string, TopicQueues>();
  private identity: Promise<ProducerIdentity> | null = null;
  private bufferedBytes = 0;
  private roomWaiters: (() => void)[] = [];
  private closed = false;

  constructor(cluster: Cluster, options: ProducerOptions = {}) {
    this.cluster = cluster;
    this.options = options;
    const acks = options.acks === 'leader' ? 1 : -1;
    const idempotent = options.idempotent ?? acks === -1;
    this.context = {
      cluster,
      combiner: new ProduceCombiner(cluster, acks, 30_000),
      codec: options.compression ?? 'none',
      lingerMs: options.lingerMs ?? 0,
      maxBatchBytes: options.maxBatchBytes ?? 900 * 1024,
      deliveryTimeoutMs: options.deliveryTimeoutMs ?? 120_000,
      identity: () => (idempotent ? (this.identity ??= this.takeIdentity()) : Promise.resolve(null)),
      dropIdentity: () => {
        this.identity = null;
      },
      settled: sizeBytes => this.release(sizeBytes),
    };
  }

  /**
   * Sends records to one topic; resolves when all of them are acknowledged, with their places in the same order.
   * Rejects with the first failure: kind `invalid` (the broker refuses such a record), `unavailable` (not acknowledged
   * in time; whether it is stored is unknown) or `conflict`.
   */
  send(topic: string, records: readonly OutgoingRecord[]): Promise<Produced[]> {
    if (this.closed) return Promise.reject(new MillstreamError('closed', 'CLIENT_CLOSED', 'the producer is closed'));
    if (records.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const delivery: Delivery = { results: [], left: records.length, resolve, reject };
      const known = this.queuesOf(topic);
      known.metadata = this.cluster.knownTopic(topic) ?? known.metadata;
      if (known.metadata && known.waiting.length === 0) this.enqueue(known, topic, records, delivery);
      else {
        known.waiting.push({ records, delivery });
        if (known.waiting.length === 1) known.loading = this.load(topic, known);
      }
    });
  }

  /** Resolves when there is room for more. Await it between sends to bound memory. */
  ready(): Promise<void> {
    if (this.bufferedBytes <= (this.options.maxBufferedBytes ?? 32 * 1024 * 1024)) return Promise.resolve();
    return new Promise(resolve => this.roomWaiters.push(resolve));
  }

  /** Sends what is waiting and resolves when everything is acknowledged or has failed. */
  async flush(): Promise<void> {
    await Promise.all(Array.from(this.topics.values(), topic => topic.loading));
    const queues = [...this.topics.values()].flatMap(topic => [...topic.queues.values()]);
    await Promise.all(queues.map(queue => queue.flush()));
  }

  /** Flushes; later sends are refused. The cluster stays open. */
  async close(): Promise<void> {
    this.closed = true;
    await this.flush();
  }

  private queuesOf(topic: string): TopicQueues {
    let known = this.topics.get(topic);
    if (!known)
      this.topics.set(topic, (known = { metadata: null, waiting: [], loading: DONE, queues: new Map(), sticky: null }));
    return known;
  }

  private async load(topic: string, known: TopicQueues): Promise<void> {
    try {
      known.metadata = await awaitTopic(this.cluster, topic, this.options.createTopics ?? true);
      for (const { records, delivery } of known.waiting.splice(0)) this.enqueue(known, topic, records, delivery);
    } catch (error) {
      for (const { delivery } of known.waiting.splice(0)) delivery.reject(asMillstreamError(error));
    }
  }

  private enqueue(known: TopicQueues, topic: string, records: readonly OutgoingRecord[], delivery: Delivery): void {
    const now = this.cluster.clock.now();
    try {
      records.forEach((record, index) => {
        const queue = this.choose(known, topic, record);
        const sizeBytes = queue.add({ ...record, timestamp: record.timestamp ?? now }, { delivery, index });
        this.bufferedBytes += sizeBytes;
      });
    } catch (error) {
      delivery.reject(asMillstreamError(error));
    }
  }

  private choose(known: TopicQueues, topic: string, record: OutgoingRecord): PartitionQueue {
    const count = known.metadata?.partitions.length ?? 0;
    if (record.partition !== undefined) {
      if (record.partition < 0 || record.partition >= count) {
        const message = `${topic} has ${count} partitions, there is no ${record.partition}`;
        throw new MillstreamError('invalid', 'UNKNOWN_PARTITION', message);
      }
      return this.queueOf(known, topic, record.partition);
    }
    if (record.key !== null) return this.queueOf(known, topic, partitionFor(record.key, count));
    // KIP-480: one partition until its batch is on its way, then another by chance.
    if (!known.sticky?.gathering) {
      const partition = Math.floor(this.cluster.random.float() * count);
      known.sticky = this.queueOf(known, topic, partition);
    }
    return known.sticky;
  }

  private queueOf(known: TopicQueues, topic: string, partition: number): PartitionQueue {
    let queue = known.queues.get(partition);
    if (!queue) known.queues.set(partition, (queue = new PartitionQueue(this.context, topic, partition)));
    return queue;
  }

  private takeIdentity(): Promise<ProducerIdentity> {
    const taken = newIdentity(this.cluster);
    taken.catch(() => {
      if (this.identity === taken) this.identity = null;
    });
    return taken;
  }

  private release(sizeBytes: number): void {
    this.bufferedBytes -= sizeBytes;
    if (this.bufferedBytes > (this.options.maxBufferedBytes ?? 32 * 1024 * 1024)) return;
    for (const resume of this.roomWaiters.splice(0)) resume();
  }
}
