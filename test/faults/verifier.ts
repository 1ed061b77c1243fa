/** Reads a producer's topic on, beside the run, and says what is wrong with it: lost, repeated or misplaced records. */
import { Wire } from '../servers/wire.ts';
import { decodeBatches, decodeValues } from '../servers/wire-batch.ts';
import { numberOf, type Producer, valueOf } from './producers/producer.ts';

/** Told of every record as it is read: its place, and its number in its partition. */
export type OnRecord = (partition: number, offset: number, n: number) => void;

export class Verifier {
  readonly #bootstrap: string;
  readonly #producer: Producer;
  readonly #onRecord: OnRecord;
  /** Per partition: the next offset to read, and the number that must come next. */
  readonly #position: number[];
  readonly #due: number[];
  records = 0;

  constructor(bootstrap: string, producer: Producer, onRecord: OnRecord = () => {}) {
    this.#bootstrap = bootstrap;
    this.#producer = producer;
    this.#onRecord = onRecord;
    this.#position = new Array<number>(producer.partitions).fill(0);
    this.#due = new Array<number>(producer.partitions).fill(0);
  }

  /**
   * Reads from where the last call ended to the high watermark. Everything acked before the call must be there, every
   * record once, in order. Throws with the first thing that is wrong.
   */
  async check(): Promise<void> {
    if (this.#producer.violation !== undefined) throw new Error(`${this.#producer.name}: ${this.#producer.violation}`);
    const acked = [...this.#producer.acked];
    const wire = await Wire.connect(this.#bootstrap);
    try {
      for (let partition = 0; partition < this.#producer.partitions; partition++) {
        await this.#read(wire, partition);
        this.#skipUnknown(partition, Number.POSITIVE_INFINITY);
        const due = this.#due[partition] ?? 0;
        if (due < (acked[partition] ?? 0)) {
          this.#fail(partition, `records ${due} to ${(acked[partition] ?? 0) - 1} were acked and are not in the log`);
        }
      }
    } finally {
      wire.close();
    }
  }

  async #read(wire: Wire, partition: number): Promise<void> {
    const { topic, firstPartition } = this.#producer;
    const end = (await wire.listOffset(topic, firstPartition + partition, -1)).offset;
    while ((this.#position[partition] ?? 0) < end) {
      const from = this.#position[partition] ?? 0;
      const answer = await wire.fetch(topic, firstPartition + partition, from, { maxBytes: 4_000_000 });
      if (answer.error !== 0) this.#fail(partition, `fetch from ${from} below the end ${end}: error ${answer.error}`);
      const batches = decodeBatches(answer.records);
      if (batches.length === 0) this.#fail(partition, `fetch from ${from} below the end ${end} brought nothing`);
      for (const { offset, value } of batches.flatMap(decodeValues)) {
        if (offset < from) continue;
        if (offset !== this.#position[partition])
          this.#fail(partition, `offset ${offset} after ${this.#position[partition]}`);
        this.#position[partition] = offset + 1;
        const n = numberOf(value);
        this.#skipUnknown(partition, n);
        if (n !== this.#due[partition]) {
          this.#fail(partition, `record ${n} at offset ${offset}, where record ${this.#due[partition]} is due`);
        }
        if (value.toString() !== valueOf(n))
          this.#fail(partition, `record ${n} at offset ${offset} is changed: ${value.toString()}`);
        this.#due[partition] = n + 1;
        this.records++;
        this.#onRecord(firstPartition + partition, offset, n);
      }
    }
  }

  /** Numbers whose fate is unknown may be missing: the due number moves over them, up to `until`. */
  #skipUnknown(partition: number, until: number): void {
    const unknown = this.#producer.unknown[partition];
    while ((this.#due[partition] ?? 0) < until && unknown?.has(this.#due[partition] ?? 0)) {
      this.#due[partition] = (this.#due[partition] ?? 0) + 1;
    }
  }

  #fail(partition: number, what: string): never {
    throw new Error(
      `${this.#producer.name}, ${this.#producer.topic}-${this.#producer.firstPartition + partition}: ${what}`,
    );
  }
}
