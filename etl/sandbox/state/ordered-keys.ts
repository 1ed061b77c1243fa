/** A block is split when it is longer. */
const MOST_IN_BLOCK = 512;

/** Distinct strings in ascending order of their code units, in blocks: adding one moves at most a block. */
export class OrderedKeys {
  private readonly blocks: string[][] = [];

  constructor(keys: Iterable<string> = []) {
    const sorted = [...keys].toSorted(compare);
    for (let at = 0; at < sorted.length; at += MOST_IN_BLOCK / 2) {
      this.blocks.push(sorted.slice(at, at + MOST_IN_BLOCK / 2));
    }
  }

  /** One that is not there yet. */
  add(key: string): void {
    const { blocks } = this;
    const at = Math.max(0, this.blockBehind(key) - 1);
    const block = blocks[at];
    if (!block) {
      blocks.push([key]);
      return;
    }
    block.splice(firstAtLeast(block, key), 0, key);
    if (block.length > MOST_IN_BLOCK) blocks.splice(at + 1, 0, block.splice(MOST_IN_BLOCK / 2));
  }

  /** One that is there. */
  remove(key: string): void {
    const at = this.blockBehind(key) - 1;
    const block = this.blocks[at];
    if (!block) return;
    block.splice(firstAtLeast(block, key), 1);
    if (block.length === 0) this.blocks.splice(at, 1);
  }

  /** Ascending from the first that is at least `from`. Not to be changed meanwhile. */
  *from(from: string): Generator<string> {
    let at = Math.max(0, this.blockBehind(from) - 1);
    let i = firstAtLeast(this.blocks[at] ?? [], from);
    for (; at < this.blocks.length; at++, i = 0) {
      const block = this.blocks[at] as string[];
      for (; i < block.length; i++) yield block[i] as string;
    }
  }

  get first(): string | undefined {
    return this.blocks[0]?.[0];
  }

  /** The first block whose first key is above `key`. */
  private blockBehind(key: string): number {
    const { blocks } = this;
    let low = 0;
    let high = blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((blocks[middle]?.[0] as string) <= key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function firstAtLeast(block: readonly string[], key: string): number {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((block[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
