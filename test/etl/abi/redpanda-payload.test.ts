import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { bodySize, readBody, writeBody } from '../../../core/engine/records.ts';
import { isPlainBody, plainBody, topicOf } from '../../../etl/abi/redpanda-payload.ts';
import { FrameHelper, VERDICT } from '../../../etl/sandbox/frame-helper/frame-helper.ts';

const hex = (...parts: string[]): string => parts.join('');

const random = seededRandom(7);
const pick = (most: number): number => Math.floor(random.float() * most);

function body(): Uint8Array {
  const bytes = () => (pick(4) === 0 ? null : Buffer.alloc(pick(3) === 0 ? pick(300) : pick(10), pick(256)));
  const headers = Array.from({ length: pick(4) }, (_, i) => [`h${i}`.slice(0, pick(3)), bytes()] as const);
  const record = { key: bytes(), value: bytes(), headers };
  const made = new Uint8Array(bodySize(record));
  writeBody(made, 0, record);
  return made;
}

/** What the frame helper thinks of an output record with this body. */
function acceptedByHelper(bytes: Uint8Array): boolean {
  const helper = new FrameHelper();
  const table = helper.newTable(1);
  table.count = 1;
  helper.setVerdict(table, 0, VERDICT.none);
  const frame = Buffer.alloc(20 + bytes.length);
  frame.writeUInt32LE(0x00080001, 0);
  frame.writeUInt32LE(1, 4);
  frame.writeUInt32LE(bytes.length, 16);
  frame.set(bytes, 20);
  const at = helper.put(frame);
  const range = { table, from: 0, to: 1, skip: false };
  const done = helper.accept({ at, length: frame.length }, range, 1, true, helper.newTable(1), helper.newTable(1));
  return !('fault' in done);
}

test('what is written as the log writes it is plain, and stays as it is when it is written anew', () => {
  for (let i = 0; i < 2000; i++) {
    const bytes = body();
    expect(isPlainBody(bytes, 0, bytes.length)).toBe(true);
    expect(Buffer.compare(plainBody(bytes) ?? Buffer.alloc(0), bytes)).toBe(0);
  }
});

test('of damaged bodies, none is taken for plain or written anew that the frame helper would refuse', () => {
  let [plain, mended] = [0, 0];
  for (let i = 0; i < 5000; i++) {
    const bytes = body();
    for (let flips = pick(3); flips >= 0; flips--) bytes[pick(Math.min(bytes.length, 12))] = pick(256);
    const whole = pick(5) === 0 ? bytes.subarray(0, pick(bytes.length)) : bytes;
    if (isPlainBody(whole, 0, whole.length)) {
      plain++;
      expect(acceptedByHelper(whole)).toBe(true);
      expect(() => readBody(whole, 0, whole.length)).not.toThrow();
    }
    const anew = plainBody(whole);
    if (!anew) continue;
    mended++;
    expect(isPlainBody(anew, 0, anew.length)).toBe(true);
    expect(acceptedByHelper(anew)).toBe(true);
  }
  expect(plain).toBeGreaterThan(500);
  expect(mended).toBeGreaterThan(plain);
});

test('a body is looked at where it lies', () => {
  const bytes = Buffer.from(hex('ffff', '01', '0461', '6200', 'ff'), 'hex');
  expect(isPlainBody(bytes, 2, 7)).toBe(true);
  expect(isPlainBody(bytes, 2, 8)).toBe(false);
  expect(isPlainBody(bytes, 2, 6)).toBe(false);
});

test('lengths of negative and of more than five bytes, null names and negative counts are known', () => {
  const anew = (bytes: string): string | null => {
    const made = plainBody(Buffer.from(bytes, 'hex'));
    return made && Buffer.from(made).toString('hex');
  };
  // -2 for the key, -65 for the value, no headers.
  expect(anew(hex('03', '8101', '00'))).toBe('010100');
  // A count of -1 is no headers.
  expect(anew(hex('01', '0276', '01'))).toBe('01027600');
  // Ten bytes for 1.
  expect(anew(hex('01', '82808080808080808000', '76', '00'))).toBe('01027600');
  expect(anew(hex('01', '8280808080808080808000', '76', '00'))).toBeNull();
  expect(anew(hex('01', '0276', '02', '01', '01'))).toBe('010276020001');
  expect(anew(hex('01', '0276', '0400'))).toBeNull();
  expect(anew(hex('01', '0276', '0000'))).toBeNull();
  expect(anew('')).toBeNull();
});

test('options', () => {
  const of = (...bytes: number[]): string | null => topicOf(Uint8Array.from(bytes));
  expect(of()).toBe('');
  expect(of(1, 4, 97, 98)).toBe('ab');
  expect(of(1, 0)).toBe('');
  expect(of(1, 1)).toBe('');
  expect(of(0)).toBeNull();
  expect(of(2, 4, 97, 98)).toBeNull();
  expect(of(1, 4, 97)).toBeNull();
  expect(of(1, 2, 97, 98)).toBeNull();
  expect(of(1)).toBeNull();
});
