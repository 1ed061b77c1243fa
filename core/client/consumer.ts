import { MillstreamError } from '../base/errors.ts';
import { type LogRecord, readRecords } from '../log/record.ts';
import { awaitTopic } from './await-topic.ts';
import type { Cluster } from './cluster.ts';
import { type FetchedPartition, Fetcher, type FetchOptions } from './fetcher.ts';
import { listOffsets, type OffsetQuery } from './list-offsets.ts';
import { keyOf, type TopicPartition } from './topic-partition.ts';

export interface ConsumedRecord extends LogRecord, TopicPartition {}

export interface ConsumeOptions extends FetchOptions {
  topic: string;
  /** Default: all. */
  partitions?: readonly number[];
  /** Where to begin in each partition: the ends, an offset, or the first record at or after a time. Default 'latest'. */
  from?: OffsetQuery | number;
  /** End when everything that was there at the start has been delivered. */
  exitAtEnd?: boolean;
  signal?: AbortSignal;
}

/**
 * Reads a topic without a group. Yields the records of one answer and partition at a time, in the order of the log;
 * ends when the signal is aborted, or at the end with `exitAtEnd`. Keys and values are views of the bytes received.
 * Throws BrokerError, or kind `invalid`, code OFFSET_OUT_OF_RANGE.
 */
export async function* consume(
  cluster: Cluster,
  options: ConsumeOptions,
): AsyncGenerator<ConsumedRecord[], void, void> {
  const signal = options.signal ?? new AbortController().signal;
  const { partitions: all } = await awaitTopic(cluster, options.topic, false);
  const partitions = (options.partitions ?? all.map(one => one.partition)).map(partition => {
    if (all[partition]) return { topic: options.topic, partition };
    const message = `${options.topic} has ${all.length} partitions, there is no ${partition}`;
    throw new MillstreamError('invalid', 'UNKNOWN_PARTITION', message);
  });
  const ends = options.exitAtEnd ? await listOffsets(cluster, partitions, 'latest', isolationOf(options)) : null;
  const fetcher = new Fetcher(cluster, options);
  try {
    const starts = await startingAt(cluster, partitions, options);
    for (const one of partitions) {
      const start = starts.get(keyOf(one)) ?? 0;
      if (start < (ends?.get(keyOf(one)) ?? Number.POSITIVE_INFINITY)) fetcher.assign(one.topic, one.partition, start);
    }
    while (!signal.aborted && fetcher.assigned.length > 0) {
      for (const fetched of await fetcher.poll(signal)) {
        const end = ends?.get(keyOf(fetched)) ?? Number.POSITIVE_INFINITY;
        const records = recordsOf(fetched, end);
        if (records.length > 0) yield records;
        if (fetched.next >= end) fetcher.unassign(fetched);
      }
    }
  } finally {
    fetcher.close();
  }
}

/** Decodes what was fetched, from the position asked for up to `end`. */
export function recordsOf(fetched: FetchedPartition, end = Number.POSITIVE_INFINITY): ConsumedRecord[] {
  const { topic, partition, from } = fetched;
  const records: ConsumedRecord[] = [];
  for (const { bytes } of fetched.batches) {
    for (const record of readRecords(bytes)) {
      if (record.offset >= from && record.offset < end) records.push({ ...record, topic, partition });
    }
  }
  return records;
}

const isolationOf = (options: FetchOptions): NonNullable<FetchOptions['isolation']> =>
  options.isolation ?? 'read_committed';

async function startingAt(
  cluster: Cluster,
  partitions: readonly TopicPartition[],
  options: ConsumeOptions,
): Promise<Map<string, number>> {
  const from = options.from ?? 'latest';
  if (typeof from !== 'number') return listOffsets(cluster, partitions, from, isolationOf(options));
  return new Map(partitions.map(one => [keyOf(one), from]));
}
