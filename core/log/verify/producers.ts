import { type BatchHeader, isControl, isTransactional, lastOffset } from '../batch.ts';

/** The broker forgets a producer that wrote nothing for so long; whatever it then sends is taken (KIP-360). */
const FORGOTTEN_MS = 24 * 60 * 60 * 1000;
const SEQUENCES = 2 ** 31;

interface Seen {
  epoch: number;
  lastSequence: number;
  lastOffset: number;
  timestamp: number;
}

/** What the batches of one log say about their producers, worked out anew from nothing. */
export class ProducerSequences {
  /** Each producer's open transaction: its first offset, and the epoch that wrote it. */
  readonly open = new Map<number, { from: number; epoch: number }>();
  /** The greatest producer id; -1 when there is none. */
  newest = -1;
  private readonly seen = new Map<number, Seen>();

  /** Takes the next batch; says what is wrong with its sequences, null when nothing is. `hasGap`: offsets are missing
   * before it, and with them maybe sequences. */
  next(header: BatchHeader, hasGap: boolean): string | null {
    const { producerId, producerEpoch } = header;
    if (producerId < 0) return null;
    this.newest = Math.max(this.newest, producerId);
    if (isControl(header)) {
      this.open.delete(producerId);
      const before = this.seen.get(producerId);
      if (before && producerEpoch < before.epoch) {
        return `a marker of producer ${producerId} with epoch ${producerEpoch} behind epoch ${before.epoch}`;
      }
      return null;
    }
    // Compaction leaves a batch without records for its sequence alone.
    if (isTransactional(header) && header.recordCount > 0 && !this.open.has(producerId)) {
      this.open.set(producerId, { from: header.baseOffset, epoch: producerEpoch });
    }
    // Positions of a transaction are the coordinator's records: they carry the producer, but no sequence.
    if (header.baseSequence < 0) return null;
    const before = this.seen.get(producerId);
    this.seen.set(producerId, {
      epoch: producerEpoch,
      lastSequence: (header.baseSequence + header.lastOffsetDelta) % SEQUENCES,
      lastOffset: lastOffset(header),
      timestamp: Math.max(header.maxTimestamp, before?.timestamp ?? -1),
    });
    if (!before || header.maxTimestamp - before.timestamp >= FORGOTTEN_MS) return null;
    if (producerEpoch < before.epoch) {
      return `producer ${producerId} with epoch ${producerEpoch} behind epoch ${before.epoch}`;
    }
    if (producerEpoch > before.epoch) return null;
    const expected = (before.lastSequence + 1) % SEQUENCES;
    if (header.baseSequence === expected) return null;
    const ahead = (header.baseSequence - expected + SEQUENCES) % SEQUENCES;
    if (ahead < SEQUENCES / 2) {
      return hasGap
        ? null
        : `producer ${producerId} goes on with sequence ${header.baseSequence} instead of ${expected}`;
    }
    return `producer ${producerId} repeats sequence ${header.baseSequence}, which it wrote up to offset ${before.lastOffset}`;
  }
}
