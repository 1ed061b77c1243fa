import { batchesIn, isControl, readBatchHeader, recordsSection, recordSpans } from '../../core/engine/records.ts';
import { type LookBack, MOST_PAST_RECORDS, type PastRecord } from '../abi/guest.ts';

/** A batch more is kept than is needed, and none beyond this but the last one. */
const MOST_BYTES = 16 * 1024 * 1024;

/** How many records a look back may reach. */
export const reachOf = ({ last }: LookBack): number => last ?? MOST_PAST_RECORDS;

/** Room for what these steps look back at; null when none does. */
export function pastOf(steps: readonly (LookBack | null | undefined)[]): PastBatches | null {
  const reaches = steps.flatMap(each => (each ? [reachOf(each)] : []));
  return reaches.length === 0 ? null : new PastBatches(Math.max(...reaches));
}

/** The source partition's newest batches as they came: as many as hold so many records. They are decoded when it comes to it. */
export class PastBatches {
  private readonly most: number;
  private batches: { bytes: Uint8Array; baseOffset: number; records: number }[] = [];
  private records = 0;
  private size = 0;

  constructor(most: number) {
    this.most = most;
  }

  /**
   * Adds copies of what was read next. What is before them stays as far as it is needed for the first of them. After a
   * step back, the batches are here already and take the place of themselves.
   */
  add(bytes: Uint8Array): void {
    const added = [...batchesIn(bytes)].filter(({ header }) => !isControl(header) && header.recordCount > 0);
    const from = added[0]?.header.baseOffset ?? Number.POSITIVE_INFINITY;
    while ((this.batches.at(-1)?.baseOffset ?? -1) >= from) this.remove(this.batches.length - 1);
    this.trim();
    for (const { at, header } of added) {
      const batch = bytes.slice(at, at + header.sizeBytes);
      this.batches.push({ bytes: batch, baseOffset: header.baseOffset, records: header.recordCount });
      this.records += header.recordCount;
      this.size += batch.length;
    }
  }

  /** All of them, one behind the other. */
  bytes(): Uint8Array {
    return Buffer.concat(this.batches.map(batch => batch.bytes));
  }

  /** What a step that looks back is shown before this record, the oldest first. */
  before(offset: number, timestamp: number, lookBack: LookBack): PastRecord[] {
    const found: PastRecord[] = [];
    const reach = reachOf(lookBack);
    for (const { bytes } of this.batches.toReversed()) {
      if (found.length >= reach) break;
      const older = recordsOf(bytes).filter(record => record.offset < offset);
      found.unshift(...older.slice(Math.max(0, older.length - (reach - found.length))));
    }
    const { ageMs } = lookBack;
    return ageMs === null ? found : found.filter(record => record.timestamp >= timestamp - ageMs);
  }

  private trim(): void {
    while (this.batches.length > 1) {
      const first = this.batches[0] as (typeof this.batches)[0];
      if (this.records - first.records < this.most && this.size <= MOST_BYTES) break;
      this.remove(0);
    }
  }

  private remove(index: number): void {
    const [removed] = this.batches.splice(index, 1);
    this.records -= removed?.records ?? 0;
    this.size -= removed?.bytes.length ?? 0;
  }
}

function recordsOf(batch: Uint8Array): PastRecord[] {
  const header = readBatchHeader(batch);
  const section = recordsSection(batch, header);
  return [...recordSpans(section, header)].map(({ offsetDelta, timestamp, bodyFrom, bodyTo }) => ({
    offset: header.baseOffset + offsetDelta,
    timestamp,
    body: section.subarray(bodyFrom, bodyTo),
  }));
}
