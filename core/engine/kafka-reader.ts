import { MillstreamError } from '../base/errors.ts';
import { BrokerError } from '../client/broker-error.ts';
import type { PartitionReads } from '../client/partition-reads.ts';
import { ErrorCode } from '../protocol/error-codes.ts';
import { EmptyRange } from './empty-range.ts';
import type { Chunk } from './engine.ts';

export interface KafkaReaderOptions {
  reads: PartitionReads;
  topic: string;
  topicId: string;
  partition: number;
  /** Where the log begins and its last stable offset, at assignment. */
  bounds: { from: number; to: number };
  signal: AbortSignal;
  now(): number;
}

/** What one lease reads, and what it knows of the log's ends from it. */
export class KafkaReader {
  private readonly options: KafkaReaderOptions;
  private start: number;
  private stable: number;
  private readonly empty = new EmptyRange();
  /** Monotonic time of the last news about the log's ends. */
  heardAt: number;

  constructor(options: KafkaReaderOptions) {
    this.options = options;
    this.start = options.bounds.from;
    this.stable = options.bounds.to;
    this.heardAt = options.now();
  }

  async read(from: bigint, maxBytes: number): Promise<Chunk> {
    const { reads, topic, topicId, partition, signal } = this.options;
    const where = { topic, topicId, partition, signal };
    const onBounds = (start: number, stable: number): void => this.hear(start, stable);
    for (let offset = Number(from); ; ) {
      const found = await reads.read({ ...where, from: offset, maxBytes, onBounds }).catch((error: unknown) => {
        throw error instanceof BrokerError && error.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE
          ? this.outOfRange(offset, error)
          : error;
      });
      if (!found) return { batches: [], sizeBytes: 0, next: from };
      if (found.batches.length > 0) {
        const batches = found.batches.map(batch => batch.bytes);
        const sizeBytes = batches.reduce((sum, batch) => sum + batch.length, 0);
        return { batches, sizeBytes, next: BigInt(found.next) };
      }
      this.empty.add(offset, found.next);
      offset = found.next;
    }
  }

  lag(from: bigint): bigint {
    return BigInt(Math.max(0, this.stable - this.empty.behind(Number(from))));
  }

  bounds(): { from: bigint; to: bigint } {
    return { from: BigInt(this.start), to: BigInt(this.stable) };
  }

  hear(start: number, stable: number): void {
    if (start >= 0) this.start = start;
    if (stable >= 0) this.stable = stable;
    this.heardAt = this.options.now();
  }

  private outOfRange(offset: number, cause: BrokerError): MillstreamError {
    const { topic, partition } = this.options;
    const message = `offset ${offset} of ${topic}/${partition} is outside [${this.start}, ${this.stable}]`;
    return new MillstreamError('invalid', 'OFFSET_OUT_OF_RANGE', message, { cause });
  }
}
