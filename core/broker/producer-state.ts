import { Bag } from '../base/bag.ts';
import type { Clock } from '../base/clock.ts';
import type { BatchHeader } from '../log/batch.ts';
import { isControl, isTransactional } from '../log/batch.ts';
import type { LogObserver } from '../log/log.ts';
import type { Marker } from '../log/marker.ts';
import type { AbortedTransaction } from '../log/txn-index.ts';
import { refused } from './kafka-error.ts';
import { addSequence } from '../log/sequence.ts';
import type { ProducerEntry, SeenBatch } from './producer-entry.ts';
import { decodeProducerSnapshot, encodeProducerSnapshot } from './producer-snapshot.ts';

/** How many batches of a producer are remembered: a client has at most five requests in flight. */
const WINDOW = 5;
/**
 * What the idempotent producers of one partition wrote (KIP-98): finds retried batches and refuses gaps, and knows the
 * open transactions. It watches the log, so that recovery rebuilds it from the batches behind the last snapshot.
 */
export class ProducerState implements LogObserver {
  private readonly clock: Clock;
  private readonly entries = new Map<number, ProducerEntry>();
  /** Producers with an open transaction, oldest first: a transaction begins at the log's end. */
  private readonly open = new Bag<ProducerEntry>();
  private aborted: AbortedTransaction | null = null;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get size(): number {
    return this.entries.size;
  }

  get(producerId: number): ProducerEntry | undefined {
    return this.entries.get(producerId);
  }

  restore(snapshot: Uint8Array | null): void {
    this.entries.clear();
    this.open.take();
    const entries = snapshot ? decodeProducerSnapshot(snapshot) : [];
    for (const entry of entries) this.entries.set(entry.producerId, entry);
    for (const entry of entries.toSorted((a, b) => a.openFrom - b.openFrom)) {
      if (entry.openFrom >= 0) this.open.add(entry);
    }
  }

  snapshot(): Uint8Array {
    return encodeProducerSnapshot([...this.entries.values()]);
  }

  batch(header: BatchHeader, marker: Marker | null = null): void {
    this.aborted = null;
    if (header.producerId < 0 || (isControl(header) && !marker)) return;
    let entry = this.entries.get(header.producerId);
    if (!entry) {
      entry = {
        producerId: header.producerId,
        epoch: header.producerEpoch,
        batches: [],
        lastTimestamp: 0,
        openFrom: -1,
        coordinatorEpoch: -1,
      };
      this.entries.set(header.producerId, entry);
    }
    if (entry.epoch !== header.producerEpoch) {
      entry.epoch = header.producerEpoch;
      entry.batches = [];
    }
    entry.lastTimestamp = this.clock.now();
    if (marker) {
      this.end(entry, header.baseOffset, marker);
      return;
    }
    if (isTransactional(header) && entry.openFrom < 0) {
      entry.openFrom = header.baseOffset;
      this.open.add(entry);
    }
    // Positions that are committed in a transaction have no sequence.
    if (header.baseSequence < 0) return;
    entry.batches.push({
      firstSequence: header.baseSequence,
      lastSequence: addSequence(header.baseSequence, header.lastOffsetDelta),
      firstOffset: header.baseOffset,
      lastOffset: header.baseOffset + header.lastOffsetDelta,
    });
    if (entry.batches.length > WINDOW) entry.batches.shift();
  }

  private end(entry: ProducerEntry, offset: number, marker: Marker): void {
    const { producerId, openFrom } = entry;
    entry.coordinatorEpoch = marker.coordinatorEpoch;
    entry.openFrom = -1;
    if (!this.open.remove(entry) || marker.kind === 'commit') return;
    const lastStableOffset = this.firstOpenOffset() ?? offset + 1;
    this.aborted = { producerId, firstOffset: openFrom, lastOffset: offset, lastStableOffset };
  }

  *lastOffsets(): Generator<readonly [producerId: number, lastOffset: number]> {
    for (const { producerId, batches } of this.entries.values()) {
      const last = batches.at(-1);
      if (last) yield [producerId, last.lastOffset];
    }
  }

  takeAborted(): AbortedTransaction | null {
    return this.aborted;
  }

  firstOpenOffset(): number | null {
    return this.open.first()?.openFrom ?? null;
  }

  /** Producers with an open transaction here. */
  openTransactions(): ProducerEntry[] {
    return this.open.all;
  }

  /** The sequence that the producer's next batch must have. */
  nextSequence(producerId: number, epoch: number): number {
    const entry = this.entries.get(producerId);
    const last = entry?.epoch === epoch ? entry.batches.at(-1) : undefined;
    return last ? addSequence(last.lastSequence, 1) : 0;
  }

  /**
   * Looks at batches of one append before they are written. Returns the original when the first of them is a retry;
   * null when they may be written. Throws kind `invalid`: OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH
   * or INVALID_TXN_STATE.
   */
  check(headers: readonly BatchHeader[]): SeenBatch | null {
    let epoch = -1;
    let last = -1;
    let producerId = -1;
    for (const header of headers) {
      if (header.producerId < 0) continue;
      if (header.producerId !== producerId) {
        const entry = this.entries.get(header.producerId);
        producerId = header.producerId;
        epoch = entry?.epoch ?? -1;
        last = entry?.batches.at(-1)?.lastSequence ?? -1;
        const original = entry && findRetry(entry, header);
        if (original) return original;
      }
      const fresh = epoch === -1;
      if (!isTransactional(header) && (this.entries.get(header.producerId)?.openFrom ?? -1) >= 0) {
        throw refused('INVALID_TXN_STATE', `Producer ${header.producerId} has an open transaction here.`);
      }
      if (header.producerEpoch < epoch) {
        throw refused(
          'INVALID_PRODUCER_EPOCH',
          `Epoch of producer ${header.producerId} is ${epoch}, the batch has the older ${header.producerEpoch}.`,
        );
      }
      if (header.producerEpoch > epoch && !fresh) {
        if (header.baseSequence !== 0) throw outOfOrder(header, 0);
      } else if (!fresh && last !== -1 && header.baseSequence !== addSequence(last, 1)) {
        throw outOfOrder(header, addSequence(last, 1));
      }
      // A producer that is not known (its state expired, or its records are deleted) may go on anywhere (KIP-360).
      epoch = header.producerEpoch;
      last = addSequence(header.baseSequence, header.lastOffsetDelta);
    }
    return null;
  }

  /** Forgets producers that wrote nothing since `before` (wall clock). */
  expire(before: number): void {
    for (const entry of this.entries.values()) {
      if (entry.lastTimestamp < before && entry.openFrom < 0) this.entries.delete(entry.producerId);
    }
  }
}

function findRetry(entry: ProducerEntry, header: BatchHeader): SeenBatch | null {
  if (entry.epoch !== header.producerEpoch) return null;
  const lastSequence = addSequence(header.baseSequence, header.lastOffsetDelta);
  return (
    entry.batches.find(seen => seen.firstSequence === header.baseSequence && seen.lastSequence === lastSequence) ?? null
  );
}

function outOfOrder(header: BatchHeader, expected: number): Error {
  return refused(
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
    `Producer ${header.producerId} sent sequence ${header.baseSequence} where ${expected} was expected.`,
  );
}
