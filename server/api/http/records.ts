import type { FastifyInstance } from 'fastify';
import type { Clock } from '../../../core/base/clock.ts';
import { MillstreamError } from '../../../core/base/errors.ts';
import { partitionFor } from '../../../core/base/murmur2.ts';
import type { TopicInfo } from '../../../core/engine/engine.ts';
import type { EngineHost } from '../../../core/engine/host.ts';
import { encodeBatch } from '../../../core/engine/records.ts';
import { type Placed, recordsIn } from './record-body.ts';
import { offsetIn, type Query, single, wholeNumberIn } from './query.ts';
import { type Page, readPage } from './record-page.ts';

const MAX_LIMIT = 1000;
/** Keys and values in one answer, so that none fills the memory. */
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const MAX_PARTITION = 2 ** 31 - 1;

export interface RecordRoutesOptions {
  engineHost: EngineHost;
  clock: Clock;
  /** Largest batch that a POST may make. */
  maxBatchBytes: number;
  /** A POST to a topic that is not there makes it. */
  autoCreateTopics: boolean;
}

/** `POST` and `GET /api/v1/topics/NAME/records`. */
export function recordRoutes(app: FastifyInstance, options: RecordRoutesOptions): void {
  const { engineHost: host, clock, maxBatchBytes, autoCreateTopics } = options;
  let turn = 0;

  app.post<{ Params: { name: string }; Querystring: Query }>('/api/v1/topics/:name/records', async request => {
    const { params, headers, query, body } = request;
    const type = (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
    const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
    const records = recordsIn(bytes, type, single(query, 'key'), clock.now());
    refuseInternal(params.name);
    const topic = autoCreateTopics ? await host.ensureTopic({ name: params.name }) : topicOf(host, params.name);
    const sticky = turn++;
    const byPartition = Map.groupBy(records.entries(), ([, record]) => partitionOf(record, topic, sticky));
    // All are checked before one is written.
    const batches = Array.from(byPartition, ([partition, members]) => {
      const batch = encodeBatch(members.map(([, record]) => record));
      if (batch.length > maxBatchBytes) throw tooLarge(batch.length, maxBatchBytes);
      return { partition, members, batch };
    });
    const placed = new Array<{ partition: number; offset: number }>(records.length);
    await Promise.all(
      batches.map(async ({ partition, members, batch }) => {
        const appended = await host.appendProduced(topic.name, partition, batch);
        await appended.durable;
        members.forEach(([at], i) => {
          placed[at] = { partition, offset: appended.baseOffset + i };
        });
      }),
    );
    return { topic: topic.name, records: placed };
  });

  /** One partition with `partition`, then also from an `offset`; else all, one after the other. */
  app.get<{ Params: { name: string }; Querystring: Query }>('/api/v1/topics/:name/records', async request => {
    const { params, query } = request;
    const room = { records: wholeNumberIn(query, 'limit', 1, MAX_LIMIT) ?? 100, bytes: MAX_PAGE_BYTES };
    const partition = wholeNumberIn(query, 'partition', 0, MAX_PARTITION);
    const topic = topicOf(host, params.name);
    if (partition !== undefined) {
      const log = logOf(host, topic.name, partition);
      const page = await readPage(log, partition, offsetIn(query, log.startOffset, log.highWatermark), room);
      return { topic: topic.name, ...shown(page), records: page.records };
    }
    const from = single(query, 'offset') ?? 'earliest';
    if (from !== 'earliest' && from !== 'latest') {
      throw new MillstreamError('invalid', 'INVALID_QUERY', 'an offset is one of a partition: add `partition`');
    }
    const records: Page['records'] = [];
    const partitions = [];
    for (let each = 0; each < topic.partitions; each++) {
      const log = logOf(host, topic.name, each);
      const start = from === 'earliest' ? log.startOffset : log.highWatermark;
      const page = await readPage(log, each, start, room);
      records.push(...page.records);
      partitions.push(shown(page));
    }
    return { topic: topic.name, records, partitions };
  });
}

function shown({ partition, next, highWatermark }: Page) {
  return { partition, next_offset: next, high_watermark: highWatermark };
}

function partitionOf(record: Placed, topic: TopicInfo, sticky: number): number {
  if (record.partition !== null) {
    if (record.partition < topic.partitions) return record.partition;
    throw unknownPartition(topic.name, record.partition);
  }
  return record.key ? partitionFor(record.key, topic.partitions) : sticky % topic.partitions;
}

function topicOf(host: EngineHost, name: string): TopicInfo {
  const topic = host.topicInfo(name);
  if (!topic) throw new MillstreamError('invalid', 'UNKNOWN_TOPIC', `there is no topic \`${name}\``);
  return topic;
}

function logOf(host: EngineHost, topic: string, partition: number) {
  const log = host.partitionLog(topic, partition);
  if (!log) throw unknownPartition(topic, partition);
  return log;
}

/** The broker's own topics are written by the broker alone, as over the Kafka protocol. */
function refuseInternal(topic: string): void {
  if (!topic.startsWith('__')) return;
  throw new MillstreamError('invalid', 'INTERNAL_TOPIC', `\`${topic}\` is the broker's own: names with __ are its`);
}

function unknownPartition(topic: string, partition: number): MillstreamError {
  return new MillstreamError('invalid', 'UNKNOWN_PARTITION', `topic \`${topic}\` has no partition ${partition}`);
}

function tooLarge(size: number, limit: number): MillstreamError {
  return new MillstreamError('invalid', 'RECORD_TOO_LARGE', `a batch of ${size} bytes is larger than ${limit}`, {
    help: 'Send fewer records at a time, or raise [broker] max_message_bytes.',
  });
}
