/*
 * What stands behind each opcode (WebAssembly core specification 2.0, 5.4 "Instructions", and the tail calls of 3.0).
 * Everything that is not listed is unknown: whoever cannot tell where an instruction ends must not guess.
 */
export const IMMEDIATE = {
  unknown: 0,
  none: 1,
  /** 0x40, a value type, or the index of a function type: s33. */
  blockType: 2,
  /** u32. */
  index: 3,
  /** u32 and u32. */
  twoIndexes: 4,
  /** u32, of a global. */
  global: 5,
  /** u32, of a label. */
  label: 6,
  /** A list of labels, and one more: count u32, labels u32. */
  labels: 7,
  /** u32 alignment, u32 offset. */
  memoryArgument: 8,
  /** The same, and one byte. */
  memoryArgumentAndLane: 9,
  /** u32, which must be 0: there is one memory. */
  memory: 10,
  /** The same twice. */
  twoMemories: 11,
  /** u32, and a memory. */
  indexAndMemory: 12,
  /** LEB128 of 32 or 64 bits, signed. */
  number: 13,
  fourBytes: 14,
  eightBytes: 15,
  sixteenBytes: 16,
  oneByte: 17,
  /** A list of value types: count u32, a byte each. */
  valueTypes: 18,
  /** A byte: func, extern, nofunc, noextern. */
  heapType: 19,
} as const;

/** The opcodes that decide about the flow of control; their meaning is control-flow.ts's. */
export const OP = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  brTable: 0x0e,
  return: 0x0f,
  returnCall: 0x12,
  returnCallIndirect: 0x13,
} as const;

/** An opcode of one byte that a u32 follows, which says the rest. */
export const PREFIX = { bulk: 0xfc, vector: 0xfd } as const;

/** First, last, what follows. */
type Range = readonly [from: number, to: number, immediate: number];

const PLAIN: readonly Range[] = [
  [0x00, 0x01, IMMEDIATE.none],
  [0x02, 0x04, IMMEDIATE.blockType],
  [0x05, 0x05, IMMEDIATE.none],
  [0x0b, 0x0b, IMMEDIATE.none],
  [0x0c, 0x0d, IMMEDIATE.label],
  [0x0e, 0x0e, IMMEDIATE.labels],
  [0x0f, 0x0f, IMMEDIATE.none],
  // call and return_call; call_indirect and return_call_indirect: type, table.
  [0x10, 0x10, IMMEDIATE.index],
  [0x11, 0x11, IMMEDIATE.twoIndexes],
  [0x12, 0x12, IMMEDIATE.index],
  [0x13, 0x13, IMMEDIATE.twoIndexes],
  // drop, select, and select of named types.
  [0x1a, 0x1b, IMMEDIATE.none],
  [0x1c, 0x1c, IMMEDIATE.valueTypes],
  [0x20, 0x22, IMMEDIATE.index],
  [0x23, 0x24, IMMEDIATE.global],
  // table.get and table.set.
  [0x25, 0x26, IMMEDIATE.index],
  [0x28, 0x3e, IMMEDIATE.memoryArgument],
  [0x3f, 0x40, IMMEDIATE.memory],
  [0x41, 0x42, IMMEDIATE.number],
  [0x43, 0x43, IMMEDIATE.fourBytes],
  [0x44, 0x44, IMMEDIATE.eightBytes],
  // Comparisons, arithmetic, conversions, sign extension.
  [0x45, 0xc4, IMMEDIATE.none],
  // ref.null, ref.is_null, ref.func.
  [0xd0, 0xd0, IMMEDIATE.heapType],
  [0xd1, 0xd1, IMMEDIATE.none],
  [0xd2, 0xd2, IMMEDIATE.index],
];

/** Behind 0xfc. */
const BULK: readonly Range[] = [
  // Conversions that saturate.
  [0, 7, IMMEDIATE.none],
  // memory.init, data.drop, memory.copy, memory.fill.
  [8, 8, IMMEDIATE.indexAndMemory],
  [9, 9, IMMEDIATE.index],
  [10, 10, IMMEDIATE.twoMemories],
  [11, 11, IMMEDIATE.memory],
  // table.init, elem.drop, table.copy, table.grow, table.size, table.fill.
  [12, 12, IMMEDIATE.twoIndexes],
  [13, 13, IMMEDIATE.index],
  [14, 14, IMMEDIATE.twoIndexes],
  [15, 17, IMMEDIATE.index],
];

/** Behind 0xfd. Numbers that the specification leaves free are left out; so are those of relaxed SIMD, from 0x100 on. */
const VECTOR: readonly Range[] = [
  [0x00, 0x0b, IMMEDIATE.memoryArgument],
  // v128.const, and the sixteen lanes of a shuffle.
  [0x0c, 0x0d, IMMEDIATE.sixteenBytes],
  [0x0e, 0x14, IMMEDIATE.none],
  // Lanes taken out and put in.
  [0x15, 0x22, IMMEDIATE.oneByte],
  [0x23, 0x53, IMMEDIATE.none],
  [0x54, 0x5b, IMMEDIATE.memoryArgumentAndLane],
  [0x5c, 0x5d, IMMEDIATE.memoryArgument],
  [0x5e, 0x99, IMMEDIATE.none],
  [0x9b, 0xa1, IMMEDIATE.none],
  [0xa3, 0xa4, IMMEDIATE.none],
  [0xa7, 0xae, IMMEDIATE.none],
  [0xb1, 0xb1, IMMEDIATE.none],
  [0xb5, 0xba, IMMEDIATE.none],
  [0xbc, 0xc1, IMMEDIATE.none],
  [0xc3, 0xc4, IMMEDIATE.none],
  [0xc7, 0xce, IMMEDIATE.none],
  [0xd1, 0xd1, IMMEDIATE.none],
  [0xd5, 0xe1, IMMEDIATE.none],
  [0xe3, 0xed, IMMEDIATE.none],
  [0xef, 0xff, IMMEDIATE.none],
];

const tableOf = (ranges: readonly Range[]): Uint8Array => {
  const table = new Uint8Array(256);
  for (const [from, to, immediate] of ranges) table.fill(immediate, from, to + 1);
  return table;
};

/** By opcode; by the number behind a prefix. */
export const PLAIN_IMMEDIATES = tableOf(PLAIN);
export const BULK_IMMEDIATES = tableOf(BULK);
export const VECTOR_IMMEDIATES = tableOf(VECTOR);

/** Bulk operations with the length that they work on uppermost on the stack: how much of it costs one instruction, as a
 * power of two. Eight bytes of memory, or one element of a table. */
export const LENGTH_SHIFTS: ReadonlyMap<number, number> = new Map([
  [8, 3],
  [10, 3],
  [11, 3],
  [12, 0],
  [14, 0],
  [15, 0],
  [17, 0],
]);

/** Why an instruction that is not listed is not. */
export function unknownInstruction(opcode: number, behind: number | null): string {
  const hex = (value: number): string => `0x${value.toString(16).padStart(2, '0')}`;
  const shown = behind === null ? hex(opcode) : `${hex(opcode)} ${hex(behind)}`;
  if (opcode === PREFIX.vector && behind !== null && behind >= 0x100)
    return `${shown}, relaxed SIMD, whose results differ by machine`;
  if (opcode === 0xfe) return `${shown}, of threads`;
  if (opcode === 0xfb || opcode === 0x14 || opcode === 0x15 || (opcode >= 0xd3 && opcode <= 0xd6))
    return `${shown}, of typed references`;
  if ((opcode >= 0x06 && opcode <= 0x0a) || opcode === 0x18 || opcode === 0x19 || opcode === 0x1f)
    return `${shown}, of exceptions`;
  return shown;
}
