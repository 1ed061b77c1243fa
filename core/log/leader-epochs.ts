/*
 * leader-epoch-checkpoint as Kafka writes it: "0" (version), the number of lines, then "<epoch> <start offset>" each.
 */
export interface EpochStart {
  epoch: number;
  startOffset: number;
}

/** Which leader epoch began at which offset (KIP-101). Our broker leads always; each unclean start is a new epoch. */
export class LeaderEpochs {
  private starts: EpochStart[];

  constructor(starts: EpochStart[] = []) {
    this.starts = starts;
  }

  /** -1 before the first is assigned. */
  get latest(): number {
    return this.starts.at(-1)?.epoch ?? -1;
  }

  /** Where the latest began; 0 before the first is assigned. */
  get lastStart(): number {
    return this.starts.at(-1)?.startOffset ?? 0;
  }

  /** A new epoch from `startOffset` on. Epochs that have no record are dropped. */
  assign(epoch: number, startOffset: number): void {
    this.starts = this.starts.filter(start => start.startOffset < startOffset && start.epoch < epoch);
    this.starts.push({ epoch, startOffset });
  }

  /** The log was cut: epochs that began behind `endOffset` are gone. */
  truncateEnd(endOffset: number): void {
    this.starts = this.starts.filter((start, i) => i === 0 || start.startOffset <= endOffset);
  }

  /** The epoch that a batch at `offset` should have; -1 below the first. */
  epochOf(offset: number): number {
    return this.starts.findLast(start => start.startOffset <= offset)?.epoch ?? -1;
  }

  /** As Kafka answers OffsetForLeaderEpoch: null for an epoch above the latest. */
  endOffsetFor(epoch: number, endOffset: number): { epoch: number; endOffset: number } | null {
    if (epoch < 0 || epoch > this.latest) return null;
    if (epoch === this.latest) return { epoch, endOffset };
    const after = this.starts.findIndex(start => start.epoch > epoch);
    const next = this.starts[after];
    if (!next) return null;
    return { epoch: this.starts[after - 1]?.epoch ?? epoch, endOffset: next.startOffset };
  }

  toText(): string {
    const lines = this.starts.map(start => `${start.epoch} ${start.startOffset}\n`);
    return `0\n${this.starts.length}\n${lines.join('')}`;
  }

  /** Null when the text is not such a file. */
  static parse(text: string): LeaderEpochs | null {
    const lines = text.split('\n');
    if (lines[0] !== '0' || !/^\d+$/.test(lines[1] ?? '')) return null;
    const count = Number(lines[1]);
    const starts: EpochStart[] = [];
    for (let i = 0; i < count; i++) {
      const match = /^(\d+) (\d+)$/.exec(lines[i + 2] ?? '');
      const start = match && { epoch: Number(match[1]), startOffset: Number(match[2]) };
      const before = starts.at(-1);
      if (!start || (before && (start.epoch <= before.epoch || start.startOffset < before.startOffset))) return null;
      starts.push(start);
    }
    return new LeaderEpochs(starts);
  }
}
