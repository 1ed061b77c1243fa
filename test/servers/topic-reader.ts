/** Reads on in a topic as a reader of committed records does, independent of core. */
import type { Wire } from './wire.ts';
import { committedBatches, type DecodedRecord, decodeBatches, decodeRecords } from './wire-batch.ts';

export class TopicReader {
  readonly topic: string;
  /** Next offset to read, per partition. */
  readonly #position: number[];

  constructor(topic: string, partitions: number) {
    this.topic = topic;
    this.#position = new Array<number>(partitions).fill(0);
  }

  get partitions(): number {
    return this.#position.length;
  }

  /** From where the last call ended to the last stable offset; per partition what is new. */
  async read(wire: Wire): Promise<DecodedRecord[][]> {
    const found: DecodedRecord[][] = [];
    for (let partition = 0; partition < this.partitions; partition++) {
      found.push(await this.#readPartition(wire, partition));
    }
    return found;
  }

  async #readPartition(wire: Wire, partition: number): Promise<DecodedRecord[]> {
    const end = await wire.endOffset(this.topic, partition, 'committed');
    const records: DecodedRecord[] = [];
    for (let at = this.#position[partition] ?? 0; at < end; ) {
      const answer = await wire.fetch(this.topic, partition, at, { maxBytes: 4_000_000, committed: true });
      const batches = decodeBatches(answer.records);
      const last = batches.at(-1);
      if (answer.error !== 0 || last === undefined) {
        throw new Error(`${this.topic}-${partition}, fetch from ${at} below ${end}: error ${answer.error}, or nothing`);
      }
      for (const record of committedBatches(batches, answer.aborted).flatMap(decodeRecords)) {
        if (record.offset >= at) records.push(record);
      }
      at = last.lastOffset + 1;
      this.#position[partition] = at;
    }
    return records;
  }
}
