import type { WarehouseCounts } from './warehouse.ts';

/** What happened in a run, so that one sees that it is not empty. */
export interface Figures extends WarehouseCounts {
  records: number;
  transactions: number;
  deadLetters: number;
  cuts: number;
  kills: number;
  stops: number;
  /** Cuts and kills while a log of records, or one of transactions and positions, had writes that no sync covered. */
  inAppend: number;
  inCommit: number;
  /** Before recovery was through. */
  inRecovery: number;
  /** Rounds of compaction that changed a file. */
  compactions: number;
  compactionsCut: number;
  /** Partitions that no longer begin at 0. */
  trimmed: number;
  /** Records of the compacted topic that are no longer there. */
  superseded: number;
  /** Short-lived topics made. */
  topics: number;
  /** Cuts right behind a new name, a truncation or a sync. */
  steered: number;
  /** Lines in committed files, files that were rotated, and starts that found more in them than was committed. */
  fileLines: number;
  rotations: number;
  filesCut: number;
}

export const noFigures = (): Figures => ({
  records: 0,
  transactions: 0,
  deadLetters: 0,
  cuts: 0,
  kills: 0,
  stops: 0,
  inAppend: 0,
  inCommit: 0,
  inRecovery: 0,
  compactions: 0,
  compactionsCut: 0,
  trimmed: 0,
  superseded: 0,
  topics: 0,
  steered: 0,
  fileLines: 0,
  rotations: 0,
  filesCut: 0,
  lostAnswers: 0,
  refused: 0,
});
