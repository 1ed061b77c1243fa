import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../../core/base/clock.ts';
import type { Disk } from '../../../core/base/disk.ts';
import { type Logger, silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { nodeDisk } from '../../../core/base/node-disk.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { Broker } from '../../../core/broker/broker.ts';
import { type BrokerConfig, DEFAULT_BROKER_CONFIG } from '../../../core/broker/config.ts';
import type { Connection } from '../../../core/broker/request.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { LogStore } from '../../../core/log/log.ts';
import { type BatchOptions, encodeBatch, readRecords } from '../../../core/log/record.ts';
import {
  type ApiKey,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  type RequestInput,
  type ResponseBody,
  type ResponseInput,
} from '../../../core/protocol/api.ts';

export interface OpenOptions {
  /** Left out: a fresh folder that `close` removes. */
  directory?: string;
  fsync?: boolean;
  /** Left out: the real one. */
  disk?: Disk;
  clock?: Clock;
  logger?: Logger;
  config?: Partial<BrokerConfig>;
  advertised?: () => { host: string; port: number };
  retentionFloor?: (topic: string, partition: number) => number;
  wrapStore?: (store: LogStore) => LogStore;
}

/** A connection of a test: `hangUp` is what a closed socket would do. */
export class TestConnection implements Connection {
  readonly clientHost = '/127.0.0.1';
  private readonly listeners = new Set<() => void>();

  onClose(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get waiting(): number {
    return this.listeners.size;
  }

  hangUp(): void {
    for (const listener of this.listeners) listener();
    this.listeners.clear();
  }
}

/** A broker on the real disk, asked through the real codec but without sockets. */
export class TestBroker {
  readonly broker: Broker;
  readonly store: LogStore;
  readonly metrics: Metrics;
  readonly directory: string;
  readonly connection = new TestConnection();
  private readonly temporary: boolean;

  private constructor(broker: Broker, store: LogStore, metrics: Metrics, directory: string, temporary: boolean) {
    this.broker = broker;
    this.store = store;
    this.metrics = metrics;
    this.directory = directory;
    this.temporary = temporary;
  }

  static async open(options: OpenOptions = {}): Promise<TestBroker> {
    const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'millstream-broker-')));
    const { clock = systemClock, logger = silentLogger, disk = nodeDisk } = options;
    const metrics = new Metrics();
    const local = await openLocalLogStore({
      directory: join(directory, 'log'),
      disk,
      clock: systemClock,
      logger,
      fsync: options.fsync ?? true,
      flushIntervalMs: 1000,
      cacheBytes: 64 * 1024 * 1024,
    });
    const store = options.wrapStore?.(local) ?? local;
    const broker = await Broker.open({
      nodeId: 1,
      store,
      disk,
      directory: join(directory, 'meta'),
      clock,
      random: systemRandom,
      logger,
      metrics,
      config: { ...DEFAULT_BROKER_CONFIG, ...options.config },
      advertised: options.advertised ?? (() => ({ host: 'broker.test', port: 9092 })),
      ...(options.retentionFloor ? { retentionFloor: options.retentionFloor } : {}),
    });
    return new TestBroker(broker, store, metrics, directory, options.directory === undefined);
  }

  /** Sends a request and decodes what comes back; null when the broker does not answer. */
  async ask<K extends ApiKey>(
    apiKey: K,
    version: number,
    body: RequestInput<K>,
    connection: Connection = this.connection,
  ): Promise<ResponseBody<K>> {
    const answer = await this.send(apiKey, version, body, connection);
    if (!answer) throw new Error('the broker did not answer');
    return answer;
  }

  async send<K extends ApiKey>(
    apiKey: K,
    version: number,
    body: RequestInput<K>,
    connection: Connection = this.connection,
  ): Promise<ResponseBody<K> | null> {
    const frame = Buffer.concat(encodeRequest(apiKey, version, 1, 'test', body)).subarray(4);
    const request = decodeRequest(frame);
    if (!request.supported) throw new Error(`key ${apiKey} version ${version} is not served`);
    const answer = await this.broker.handle(request, connection);
    if (!answer) return null;
    const response = Buffer.concat(encodeResponse(apiKey, version, 1, answer as ResponseInput<K>)).subarray(4);
    return decodeResponse(apiKey, version, response).body;
  }

  /** Produces one batch; returns the partition's answer. */
  async produce(
    topic: string,
    index: number,
    records: Uint8Array | null,
    { acks = -1, version = 9 }: { acks?: number; version?: number } = {},
  ): Promise<ResponseBody<0>['responses'][number]['partitionResponses'][number]> {
    const topicData = [{ name: topic, partitionData: [{ index, records }] }];
    const body = await this.ask(0, version, { transactionalId: null, acks, timeoutMs: 1000, topicData });
    const answer = body.responses[0]?.partitionResponses[0];
    if (!answer) throw new Error('no answer for the partition');
    return answer;
  }

  /** Fetches from one partition. */
  async fetch(
    topic: string,
    partition: number,
    fetchOffset: number,
    options: {
      maxWaitMs?: number;
      minBytes?: number;
      maxBytes?: number;
      partitionMaxBytes?: number;
      isolationLevel?: number;
    } = {},
  ): Promise<ResponseBody<1>['responses'][number]['partitions'][number]> {
    const { maxWaitMs = 0, minBytes = 1, maxBytes = 1e6, partitionMaxBytes = 1e6, isolationLevel = 0 } = options;
    const body = await this.ask(1, 11, {
      maxWaitMs,
      minBytes,
      maxBytes,
      isolationLevel,
      topics: [{ topic, partitions: [{ partition, fetchOffset, partitionMaxBytes }] }],
    });
    const answer = body.responses[0]?.partitions[0];
    if (!answer) throw new Error('no answer for the partition');
    return answer;
  }

  /** Closes as a clean stop does; a folder of its own is removed. */
  async close(): Promise<void> {
    this.connection.hangUp();
    await this.broker.close();
    await this.store.close();
    if (this.temporary) await rm(this.directory, { recursive: true, force: true });
  }
}

/** One batch with these values. */
export function batchOf(values: readonly string[], options: BatchOptions & { timestamp?: number } = {}): Uint8Array {
  const timestamp = options.timestamp ?? 1_700_000_000_000;
  return encodeBatch(
    values.map(value => ({ timestamp, key: null, value: Buffer.from(value) })),
    options,
  );
}

/** The values of all batches in fetched bytes, with their offsets. */
export function valuesOf(records: Uint8Array | null): [offset: number, value: string][] {
  const found: [number, string][] = [];
  const bytes = Buffer.from(records ?? []);
  for (let at = 0; at < bytes.length; ) {
    const size = bytes.readInt32BE(at + 8) + 12;
    for (const { offset, value } of readRecords(bytes.subarray(at, at + size))) {
      found.push([offset, Buffer.from(value ?? []).toString()]);
    }
    at += size;
  }
  return found;
}
