/** One partition as it should be: what its answers are. Knows nothing of the broker's code. */

export interface Entry {
  base: number;
  last: number;
  producerId: number;
  isTransactional: boolean;
  /** A control batch's; else null. */
  marker: 'commit' | 'abort' | null;
  values: readonly string[];
}

interface Producer {
  epoch: number;
  /** Sequence ranges of the newest batches, at most five. */
  batches: { first: number; last: number; offset: number }[];
  /** First offset of its open transaction. */
  open: number | null;
}

const NONE = 0;
const OFFSET_OUT_OF_RANGE = 1;
const OUT_OF_ORDER_SEQUENCE_NUMBER = 45;
const INVALID_PRODUCER_EPOCH = 47;
const INVALID_TXN_STATE = 48;
/** What KIP-98 has brokers remember. */
const REMEMBERED = 5;

export interface Write {
  producerId: number;
  epoch: number;
  sequence: number;
  isTransactional: boolean;
  values: readonly string[];
}

export class LogModel {
  start = 0;
  end = 0;
  private readonly entries: Entry[] = [];
  private readonly producers = new Map<number, Producer>();

  /** The answer to a Produce; `admit` says whether the transaction lets it pass, asked only when it is no retry. */
  produce(write: Write, admit: () => number): { errorCode: number; offset: number } {
    const refused = (errorCode: number) => ({ errorCode, offset: -1 });
    const { producerId, epoch, sequence, values, isTransactional } = write;
    const producer = this.producers.get(producerId);
    if (producerId >= 0 && producer) {
      const lastSequence = sequence + values.length - 1;
      const original =
        producer.epoch === epoch &&
        producer.batches.find(batch => batch.first === sequence && batch.last === lastSequence);
      if (original) return { errorCode: NONE, offset: original.offset };
      if (!isTransactional && producer.open !== null) return refused(INVALID_TXN_STATE);
      if (epoch < producer.epoch) return refused(INVALID_PRODUCER_EPOCH);
      const newest = producer.batches.at(-1);
      const next = epoch > producer.epoch ? 0 : newest ? newest.last + 1 : null;
      if (next !== null && sequence !== next) return refused(OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    const admitted = admit();
    if (admitted !== NONE) return refused(admitted);
    return { errorCode: NONE, offset: this.append(write) };
  }

  private append({ producerId, epoch, sequence, isTransactional, values }: Write): number {
    const base = this.end;
    const last = base + values.length - 1;
    this.end = last + 1;
    this.entries.push({ base, last, producerId, isTransactional, marker: null, values });
    if (producerId < 0) return base;
    const before = this.producers.get(producerId);
    const producer = before?.epoch === epoch ? before : { epoch, batches: [], open: before?.open ?? null };
    producer.batches.push({ first: sequence, last: sequence + values.length - 1, offset: base });
    if (producer.batches.length > REMEMBERED) producer.batches.shift();
    if (isTransactional) producer.open ??= base;
    this.producers.set(producerId, producer);
    return base;
  }

  /** Ends the producer's transaction here, if it has one. */
  mark(producerId: number, epoch: number, marker: 'commit' | 'abort'): void {
    const producer = this.producers.get(producerId);
    if (!producer || producer.open === null) return;
    this.entries.push({ base: this.end, last: this.end, producerId, isTransactional: true, marker, values: [] });
    this.end++;
    producer.open = null;
    if (epoch > producer.epoch) this.producers.set(producerId, { epoch, batches: [], open: null });
  }

  /** Nobody reads committed records at or above. */
  get stable(): number {
    const open = [...this.producers.values()].flatMap(producer => producer.open ?? []);
    return Math.max(this.start, Math.min(this.end, ...open));
  }

  isInRange(offset: number): boolean {
    return offset >= this.start && offset <= this.end;
  }

  /** Offset and value of every record from `offset` on, as readers of all or of committed records get them. */
  read(offset: number, committedOnly: boolean): string[] {
    const limit = committedOnly ? this.stable : this.end;
    const found: string[] = [];
    this.entries.forEach((entry, i) => {
      if (entry.last < offset || entry.base >= limit || entry.marker) return;
      if (committedOnly && entry.isTransactional && this.fateOf(entry, i) !== 'commit') return;
      entry.values.forEach((value, at) => {
        if (entry.base + at >= offset) found.push(`${entry.base + at} ${value}`);
      });
    });
    return found;
  }

  deleteBefore(offset: number): { errorCode: number; start: number } {
    const before = offset === -1 ? this.end : offset;
    if (before < 0 || before > this.end) return { errorCode: OFFSET_OUT_OF_RANGE, start: -1 };
    this.start = Math.max(this.start, before);
    return { errorCode: NONE, start: this.start };
  }

  private fateOf({ producerId }: Entry, index: number): 'commit' | 'abort' | null {
    return this.entries.slice(index).find(entry => entry.producerId === producerId && entry.marker)?.marker ?? null;
  }
}
