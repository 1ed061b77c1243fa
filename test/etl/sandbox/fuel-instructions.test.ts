import { describe, expect, test } from 'vitest';
import { meter } from '../../../etl/sandbox/fuel/meter.ts';
import { BULK_IMMEDIATES, IMMEDIATE, PLAIN_IMMEDIATES, VECTOR_IMMEDIATES } from '../../../etl/sandbox/fuel/opcodes.ts';
import { leb } from '../../../etl/sandbox/wasm-reader.ts';
import { moduleOfBody, section } from './fuel-programs.ts';

/*
 * V8 knows every instruction, and so says whether the table of ours is right: in code that nothing reaches any instruction is
 * valid whatever is on the stack, when its immediates are, and one byte too many or too few makes the rest another program.
 */

const UNREACHABLE = 0x00;
/** Types: () -> (); a table, a memory, a mutable global of i32, a data and an element segment, of which all are number 0. */
const surrounded = (instructions: readonly number[]): Uint8Array =>
  moduleOfBody([UNREACHABLE, ...instructions, UNREACHABLE], {
    beforeExports: [
      ...section(4, [1, 0x70, 0, 1]),
      ...section(5, [1, 0, 1]),
      ...section(6, [1, 0x7f, 1, 0x41, 0, 0x0b]),
    ],
    beforeCode: [...section(9, [1, 1, 0, 1, 0]), ...section(12, [1])],
    behind: section(11, [1, 1, 1, 0xff]),
  });

/** What may stand behind: several forms where there are several. Alignment 0 is right for all. */
const BEHIND: Readonly<Record<number, number[][]>> = {
  [IMMEDIATE.none]: [[]],
  [IMMEDIATE.blockType]: [[0x40], [0x7f], [0x7b], [0x70], [0], [0x80, 0x00], [0x80, 0x80, 0x80, 0x80, 0x00]],
  [IMMEDIATE.index]: [[0], [0x80, 0x00], [0x80, 0x80, 0x80, 0x80, 0x00]],
  [IMMEDIATE.twoIndexes]: [
    [0, 0],
    [0x80, 0x00, 0x80, 0x00],
  ],
  [IMMEDIATE.global]: [[0], [0x80, 0x00]],
  [IMMEDIATE.label]: [[0], [0x80, 0x00]],
  [IMMEDIATE.labels]: [
    [0, 0],
    [3, 0, 0, 0x80, 0x00, 0],
  ],
  [IMMEDIATE.memoryArgument]: [
    [0, 0],
    [0, 0xff, 0x01],
    [0x80, 0x00, 0xff, 0xff, 0xff, 0xff, 0x0f],
  ],
  [IMMEDIATE.memoryArgumentAndLane]: [
    [0, 0, 0],
    [0, 0xff, 0x01, 1],
  ],
  [IMMEDIATE.memory]: [[0]],
  [IMMEDIATE.twoMemories]: [[0, 0]],
  [IMMEDIATE.indexAndMemory]: [
    [0, 0],
    [0x80, 0x00, 0],
  ],
  [IMMEDIATE.number]: [[0x7f], [0xff, 0x00], [0x80, 0x80, 0x80, 0x80, 0x78]],
  [IMMEDIATE.fourBytes]: [[0x0b, 0x0b, 0x0b, 0x0b]],
  [IMMEDIATE.eightBytes]: [[0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b]],
  [IMMEDIATE.sixteenBytes]: [Array.from({ length: 16 }, () => 0x0b)],
  [IMMEDIATE.oneByte]: [[0], [1]],
  [IMMEDIATE.valueTypes]: [
    [1, 0x7f],
    [1, 0x6f],
  ],
  [IMMEDIATE.heapType]: [[0x70], [0x6f], [0x73], [0x72]],
};
/** These need something of their own around them; programs in fuel-meter.test.ts have them. */
const STRUCTURE = [0x05, 0x0b];
const IF = 0x04;

const listed = [
  ...[...PLAIN_IMMEDIATES].map((immediate, opcode) => ({ bytes: [opcode], immediate })),
  ...[...BULK_IMMEDIATES].map((immediate, number) => ({ bytes: [0xfc, ...leb(number)], immediate })),
  ...[...VECTOR_IMMEDIATES].map((immediate, number) => ({ bytes: [0xfd, ...leb(number)], immediate })),
];
const known = listed.filter(({ bytes, immediate }) => immediate > 0 && !STRUCTURE.includes(bytes[0] as number));
const unknown = listed.filter(({ bytes, immediate }) => immediate === 0 && bytes[0] !== 0xfc && bytes[0] !== 0xfd);
const unknownBehindPrefix = listed.filter(({ bytes, immediate }) => immediate === 0 && bytes.length > 1);
const hex = (bytes: readonly number[]): string => Buffer.from(bytes).toString('hex');

describe('every instruction that is listed', () => {
  test('is read to the same end as V8 reads it, in all its forms', () => {
    const misread: string[] = [];
    let tried = 0;
    for (const { bytes, immediate } of known) {
      for (const behind of BEHIND[immediate] ?? []) {
        const opens = (bytes[0] as number) >= 0x02 && (bytes[0] as number) <= IF;
        // A block that gives a value must get it.
        const whole = surrounded([...bytes, ...behind, ...(opens ? [UNREACHABLE, 0x05, UNREACHABLE, 0x0b] : [])]);
        const plain = opens && bytes[0] !== IF ? surrounded([...bytes, ...behind, UNREACHABLE, 0x0b]) : whole;
        // A second lane, or an i64 in five bytes, is not there for all.
        if (!WebAssembly.validate(plain)) {
          if (behind === BEHIND[immediate]?.[0]) misread.push(`${hex(bytes)} is nothing to V8`);
          continue;
        }
        tried++;
        if (!WebAssembly.validate(meter(plain))) misread.push(hex([...bytes, ...behind]));
      }
    }
    expect(misread).toEqual([]);
    expect(tried).toBeGreaterThan(550);
  });

  test('there are as many as the specifications have', () => {
    const plain = known.filter(({ bytes }) => bytes.length === 1).length;
    const bulk = known.filter(({ bytes }) => bytes[0] === 0xfc).length;
    const vector = known.filter(({ bytes }) => bytes[0] === 0xfd).length;
    // 1.0 has 172, `else` and `end` among them; then 5 for signs, 6 for references, 2 tail calls.
    expect({ plain, bulk, vector }).toEqual({ plain: 172 - 2 + 5 + 6 + 2, bulk: 18, vector: 236 });
  });
});

describe('an instruction that is not listed', () => {
  const refusal = (bytes: readonly number[]): unknown => {
    try {
      meter(surrounded(bytes));
      return null;
    } catch (error) {
      return error;
    }
  };

  test('is refused, whatever comes behind it', () => {
    for (const { bytes } of [...unknown, ...unknownBehindPrefix]) {
      expect(refusal([...bytes, 0, 0, 0]), hex(bytes)).toMatchObject({ kind: 'invalid', code: 'MODULE_REFUSED' });
    }
  });

  test.each([
    ['of threads', [0xfe, 0x10, 2, 0]],
    ['of exceptions', [0x06, 0x40, 0x0b]],
    ['of typed references', [0xfb, 0x00, 0]],
    ['relaxed SIMD', [0xfd, 0x80, 0x02]],
    ['an unknown type', [0x02, 0x63, 0]],
    ['the type 0x6e', [0xd0, 0x6e]],
  ])('is named: %s', (words, bytes) => {
    expect(refusal(bytes)).toMatchObject({ message: expect.stringContaining(words) });
    expect(refusal(bytes)).toMatchObject({ message: expect.stringContaining('leave out limits.fuel') });
  });
});
