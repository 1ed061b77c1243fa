/** What a hostile module can be: what its records do, and what is not even deployed. */
import { zstdCompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { assemble, guestText } from '../../etl/sandbox/guests.ts';
import { encodeBatch } from '../../servers/wire-batch.ts';

/** By the first letter of a record's value; all others go on unchanged. */
export const KINDS: Readonly<Record<string, string>> = {
  T: 'TRAP',
  L: 'TIMEOUT',
  M: 'MEMORY_LIMIT',
  S: 'STACK_OVERFLOW',
  W: 'TRAP',
  B: 'OUTPUT_TOO_LARGE',
  G: 'BAD_OUTPUT',
};

/** Every kind in one: traps, loops, eats memory, stack and tables, gives a GiB, gives garbage. */
export const poisonGuest = (): Uint8Array =>
  assemble(
    guestText({
      extra: '(table $t 1 externref)',
      special: `(if (i32.eq (local.get $kind) (i32.const 87)) (then
        (loop $w (br_if $w (i32.ne (table.grow $t (ref.null extern) (i32.const 1000)) (i32.const -1))))
        (unreachable)))`,
      garbage: '(i32.store8 (i32.const 8388608) (i32.const 9))',
    }),
  );

/** Its start function never returns. */
export const neverStarts = (): Uint8Array =>
  assemble(guestText({ extra: '(func $never (loop $l (br $l))) (start $never)' }));

/** A type section with a struct: WasmGC. */
export const withStruct = (): Uint8Array => Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 3, 1, 0x5f, 0]);

/** Bits turned over, or the end cut off. */
export function damaged(bytes: Uint8Array, random: () => number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (random() < 0.2) return copy.subarray(0, Math.floor(random() * copy.length));
  for (let n = Math.ceil(random() * 4); n > 0; n--) {
    const at = Math.floor(random() * copy.length);
    copy[at] = (copy[at] as number) ^ (1 << Math.floor(random() * 8));
  }
  return copy;
}

/** A batch under a right CRC that unpacks to more than a GiB. */
export function bomb(): Buffer {
  const piece = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
  const whole = encodeBatch({ values: [Buffer.from('x')] });
  const made = Buffer.concat([whole.subarray(0, 61), ...Array.from({ length: 17 }, () => piece)]);
  made.writeInt32BE(made.length - 12, 8);
  made.writeInt16BE(4, 21);
  made.writeUInt32BE(crc32c(made.subarray(21)), 17);
  return made;
}
