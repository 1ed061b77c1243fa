import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Clock } from '../../../core/base/clock.ts';
import { MillstreamError } from '../../../core/base/errors.ts';
import { partitionFor } from '../../../core/base/murmur2.ts';
import type { TopicInfo } from '../../../core/engine/engine.ts';
import type { EngineHost } from '../../../core/engine/host.ts';
import { encodeBatch, isControl, type NewRecord, readBatchHeader, readRecords } from '../../../core/engine/records.ts';
import { fromJson, toJson } from './record-json.ts';

/** How much one read looks at. */
const READ_BYTES = 1024 * 1024;
const MAX_LIMIT = 1000;

type Placed = NewRecord & { partition: number | null };

/** `POST` and `GET /api/v1/topics/NAME/records`. */
export function recordRoutes(app: FastifyInstance, host: EngineHost, clock: Clock, maxBatchBytes: number): void {
  let turn = 0;

  app.post<{ Params: { name: string } }>('/api/v1/topics/:name/records', async request => {
    const records = parseBody(request, clock.now());
    const topic = await host.ensureTopic({ name: request.params.name });
    const sticky = turn++;
    const byPartition = Map.groupBy(records.entries(), ([, record]) => partitionOf(record, topic, sticky));
    const placed = new Array<{ partition: number; offset: number }>(records.length);
    await Promise.all(
      [...byPartition].map(async ([partition, members]) => {
        const batch = encodeBatch(members.map(([, record]) => record));
        if (batch.length > maxBatchBytes) throw tooLarge(batch.length, maxBatchBytes);
        const appended = host.appendBatch(topic.name, partition, batch);
        await appended.durable;
        members.forEach(([at], i) => {
          placed[at] = { partition, offset: appended.baseOffset + i };
        });
      }),
    );
    return { topic: topic.name, records: placed };
  });

  app.get<{ Params: { name: string }; Querystring: Record<string, string> }>(
    '/api/v1/topics/:name/records',
    async request => {
      const { name } = request.params;
      const partition = numberIn(request.query, 'partition', 0, 2 ** 31 - 1) ?? 0;
      const limit = numberIn(request.query, 'limit', 1, MAX_LIMIT) ?? 100;
      const log = existing(host, name, partition);
      const offset = offsetIn(request.query, log.startOffset, log.highWatermark);
      const records = [];
      let next = offset;
      while (records.length < limit && next < log.highWatermark) {
        const chunk = await log.read(next, READ_BYTES);
        const from = next;
        for (const batch of chunk.batches) {
          if (isControl(readBatchHeader(batch))) continue;
          for (const record of readRecords(batch)) {
            if (record.offset >= from && records.length < limit) records.push(toJson(record, partition));
          }
        }
        next = records.length < limit ? chunk.nextOffset : (records.at(-1)?.offset ?? next) + 1;
      }
      return { topic: name, partition, records, next_offset: next, high_watermark: log.highWatermark };
    },
  );
}

function parseBody(request: FastifyRequest, now: number): Placed[] {
  const type = (request.headers['content-type'] ?? '').split(';')[0];
  const { body } = request;
  if (type === 'application/json') {
    const list = (body as { records?: unknown } | null)?.records;
    if (!Array.isArray(list) || list.length === 0) {
      throw new MillstreamError('invalid', 'INVALID_RECORD', 'the body is { "records": [ { "value": ... }, ... ] }');
    }
    return list.map(record => fromJson(record, now));
  }
  const bytes = Buffer.isBuffer(body) ? body : Buffer.alloc(0);
  if (type === 'application/x-ndjson') {
    const lines = bytes
      .toString()
      .split('\n')
      .filter(line => line.trim() !== '');
    if (lines.length === 0) throw new MillstreamError('invalid', 'INVALID_RECORD', 'the body has no line');
    return lines.map(line => ({ timestamp: now, key: null, value: Buffer.from(line), partition: null }));
  }
  const { key } = request.query as { key?: string };
  return [{ timestamp: now, key: key === undefined ? null : Buffer.from(key), value: bytes, partition: null }];
}

function partitionOf(record: Placed, topic: TopicInfo, sticky: number): number {
  if (record.partition !== null) {
    if (record.partition < topic.partitions) return record.partition;
    throw unknownPartition(topic.name, record.partition);
  }
  return record.key ? partitionFor(record.key, topic.partitions) : sticky % topic.partitions;
}

function existing(host: EngineHost, topic: string, partition: number) {
  if (!host.topicInfo(topic)) throw new MillstreamError('invalid', 'UNKNOWN_TOPIC', `there is no topic \`${topic}\``);
  const log = host.partitionLog(topic, partition);
  if (!log) throw unknownPartition(topic, partition);
  return log;
}

function unknownPartition(topic: string, partition: number): MillstreamError {
  return new MillstreamError('invalid', 'UNKNOWN_PARTITION', `topic \`${topic}\` has no partition ${partition}`);
}

function tooLarge(size: number, limit: number): MillstreamError {
  return new MillstreamError('invalid', 'RECORD_TOO_LARGE', `a batch of ${size} bytes is larger than ${limit}`, {
    help: 'Send fewer records at a time, or raise [broker] max_message_bytes.',
  });
}

function offsetIn(query: Record<string, string>, earliest: number, latest: number): number {
  const text = query['offset'] ?? 'earliest';
  if (text === 'earliest') return earliest;
  if (text === 'latest') return latest;
  const offset = numberIn(query, 'offset', 0, Number.MAX_SAFE_INTEGER) ?? earliest;
  if (offset >= earliest && offset <= latest) return offset;
  throw new MillstreamError('invalid', 'OFFSET_OUT_OF_RANGE', `offset ${offset} is outside [${earliest}, ${latest}]`);
}

function numberIn(query: Record<string, string>, name: string, least: number, most: number): number | undefined {
  const text = query[name];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new MillstreamError(
    'invalid',
    'INVALID_QUERY',
    `\`${name}\` is a whole number from ${least} to ${most}, not "${text}"`,
  );
}
