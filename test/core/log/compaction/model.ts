export interface ModelRecord {
  offset: number;
  key: string;
  value: string | null;
  timestamp: number;
}

export interface ModelBatch {
  baseOffset: number;
  lastOffset: number;
  producerId: number;
  isTransactional: boolean;
  marker: 'commit' | 'abort' | null;
  records: ModelRecord[];
}

export type Fate = 'plain' | 'committed' | 'aborted' | 'open';

/** What was appended, as a list; everything else is worked out from it. */
export class Model {
  batches: ModelBatch[] = [];
  /** Offsets that a full read has once not found. */
  readonly gone = new Set<number>();
  promisedEnd = 0;

  get end(): number {
    return (this.batches.at(-1)?.lastOffset ?? -1) + 1;
  }

  /** What became of each batch's records. */
  fates(): Map<ModelBatch, Fate> {
    const fates = new Map<ModelBatch, Fate>();
    const open = new Map<number, ModelBatch[]>();
    for (const batch of this.batches) {
      const { producerId, marker } = batch;
      if (marker) {
        for (const own of open.get(producerId) ?? []) fates.set(own, marker === 'commit' ? 'committed' : 'aborted');
        open.delete(producerId);
      } else if (batch.isTransactional) {
        fates.set(batch, 'open');
        open.set(producerId, [...(open.get(producerId) ?? []), batch]);
      } else fates.set(batch, 'plain');
    }
    return fates;
  }
}

/** A disk without room is no fault. */
export function unlessFull(error: unknown): null {
  if (!/ENOSPC|no space/.test(String(error))) throw error;
  return null;
}
