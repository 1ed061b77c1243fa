import { hash } from 'node:crypto';

/** Words of a key's digest: 128 bits of SHA-256, so that two keys are never taken for one, not even on purpose. */
const WORDS = 4;
/** Digest and offset of one slot. */
const SLOT_BYTES = WORDS * 4 + 8;
const FIRST_SLOTS = 1024;
/** Part of the slots that may be taken. */
const LOAD = 0.7;

/** The newest offset of each key, by the key's digest, in bounded memory. */
export class KeyMap {
  size = 0;
  private readonly maxSlots: number;
  private slots: number;
  private digests: Uint32Array;
  private offsets: Float64Array;

  constructor(budgetBytes: number) {
    this.maxSlots = 2 ** Math.floor(Math.log2(Math.max(1, budgetBytes / SLOT_BYTES)));
    this.slots = FIRST_SLOTS;
    this.digests = new Uint32Array(FIRST_SLOTS * WORDS);
    this.offsets = new Float64Array(FIRST_SLOTS).fill(-1);
  }

  /** Whether so many more keys fit into the budget. An empty map takes any one batch. */
  hasRoomFor(keys: number): boolean {
    return this.size === 0 || this.size + keys <= this.maxSlots * LOAD;
  }

  /** Offsets must come in growing order. */
  set(key: Uint8Array, offset: number): void {
    if (this.size + 1 > this.slots * LOAD) this.grow();
    const digest = digestOf(key);
    const slot = this.find(digest);
    if ((this.offsets[slot] as number) < 0) {
      this.size++;
      this.digests.set(digest, slot * WORDS);
    }
    this.offsets[slot] = offset;
  }

  /** -1 when the key is not in. */
  get(key: Uint8Array): number {
    return this.offsets[this.find(digestOf(key))] as number;
  }

  clear(): void {
    this.size = 0;
    this.offsets.fill(-1);
  }

  private find(digest: Uint32Array): number {
    const { slots, digests, offsets } = this;
    const [a, b, c, d] = digest as unknown as [number, number, number, number];
    for (let slot = a & (slots - 1); ; slot = (slot + 1) & (slots - 1)) {
      if ((offsets[slot] as number) < 0) return slot;
      const at = slot * WORDS;
      if (digests[at] === a && digests[at + 1] === b && digests[at + 2] === c && digests[at + 3] === d) return slot;
    }
  }

  private grow(): void {
    const { slots, digests, offsets } = this;
    this.slots = slots * 2;
    this.digests = new Uint32Array(this.slots * WORDS);
    this.offsets = new Float64Array(this.slots).fill(-1);
    for (let slot = 0; slot < slots; slot++) {
      const offset = offsets[slot] as number;
      if (offset < 0) continue;
      const digest = digests.subarray(slot * WORDS, slot * WORDS + WORDS);
      const to = this.find(digest);
      this.digests.set(digest, to * WORDS);
      this.offsets[to] = offset;
    }
  }
}

function digestOf(key: Uint8Array): Uint32Array {
  const digest = hash('sha256', key, 'buffer');
  return Uint32Array.of(
    digest.readUInt32LE(0),
    digest.readUInt32LE(4),
    digest.readUInt32LE(8),
    digest.readUInt32LE(12),
  );
}
