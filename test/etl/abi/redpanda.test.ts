import { expect, test } from 'vitest';
import { RedpandaGuest } from '../../../etl/abi/redpanda.ts';
import { CELL, PHASE } from '../../../etl/sandbox/cell.ts';
import { assemble } from '../sandbox/guests.ts';
import { guestHost, inputFrame, outputFrame, SETUP, values } from './frames.ts';

const hex = (...parts: string[]): string => parts.join('');

/**
 * A transform in WebAssembly text. It asks for a batch (the header's fields lie from 0 on, as the numbers at $header say)
 * and does `body` for each record, which lies at 1024, $size bytes long; its attributes are at 56, time at 64, offset at 72.
 */
function transform({
  body = '(drop (call $write (i32.const 1024) (local.get $size)))',
  start = '',
  extra = '',
  batch = '',
} = {}): Uint8Array {
  return assemble(`(module
    (import "redpanda_transform" "check_abi_version_2" (func $check))
    (import "redpanda_transform" "read_batch_header"
      (func $header (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "redpanda_transform" "read_next_record" (func $next (param i32 i32 i32 i32 i32) (result i32)))
    (import "redpanda_transform" "write_record" (func $write (param i32 i32) (result i32)))
    (import "redpanda_transform" "write_record_with_options" (func $write_to (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    ${extra}
    (memory (export "memory") 4)
    (global $batches (mut i32) (i32.const 0))
    (func $read (result i32)
      (call $next (i32.const 56) (i32.const 64) (i32.const 72) (i32.const 1024) (i32.const 60000)))
    (func (export "_start") (local $longest i32) (local $size i32) (local $left i32) (local $rc i32)
      (call $check)
      ${start}
      (loop $batches
        (local.set $longest (call $header (i32.const 0) (i32.const 8) (i32.const 12) (i32.const 16) (i32.const 20)
          (i32.const 24) (i32.const 32) (i32.const 40) (i32.const 48) (i32.const 52)))
        (global.set $batches (i32.add (global.get $batches) (i32.const 1)))
        (local.set $left (i32.load (i32.const 8)))
        ${batch}
        (loop $records
          (local.set $size (call $read))
          ${body}
          (br_if $records (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (br $batches))))`);
}

async function open(bytes: Uint8Array, setup = SETUP) {
  const host = guestHost();
  const guest = await RedpandaGuest.open(new WebAssembly.Module(bytes), host, setup);
  return { guest, host };
}

/** Writes a body with a value of 8 bytes that are the int64 or the two int32 at these places. */
const writeNumbers = (...code: string[]): string => `
  (i32.store8 (i32.const 512) (i32.const 1)) (i32.store8 (i32.const 513) (i32.const 16))
  ${code.join(' ')}
  (i32.store8 (i32.const 522) (i32.const 0))
  (drop (call $write (i32.const 512) (i32.const 11)))`;

async function numbersOf(bytes: Uint8Array, frame: Uint8Array, count: number): Promise<bigint[]> {
  const { guest } = await open(bytes);
  const out = Buffer.from((await guest.process(frame, count)) ?? []);
  const found: bigint[] = [];
  // 12 bytes in front of the body, 2 in front of the value.
  for (let at = 8; at < out.length; at += 23) found.push(out.readBigInt64LE(at + 14));
  return found;
}

test('one call is one batch: its records are read one by one, and what is written belongs to the record read last', async () => {
  const twice =
    '(drop (call $write (i32.const 1024) (local.get $size))) (drop (call $write (i32.const 1024) (local.get $size)))';
  const { guest, host } = await open(transform({ body: twice }));
  expect(host.cell[CELL.phase]).toBe(PHASE.host);
  for (let batch = 0; batch < 3; batch++) {
    const out = outputFrame(await guest.process(inputFrame(values('a', 'b')), 2));
    expect(out.map(({ index, route, timestamp, value }) => [index, route, timestamp, value])).toEqual([
      [0, 0, null, 'a'],
      [0, 0, null, 'a'],
      [1, 0, null, 'b'],
      [1, 0, null, 'b'],
    ]);
    expect(host.cell[CELL.record]).toBe(1);
  }
  guest.close();
});

test('nothing written gives no frame', async () => {
  const { guest } = await open(transform({ body: '' }));
  expect(await guest.process(inputFrame(values('a')), 1)).toBeNull();
});

test("the batch's header tells of its records", async () => {
  const records = [
    { key: null, value: Buffer.from('x'), offset: 2 ** 40, timestamp: 5_000_000_000_007 },
    { key: null, value: Buffer.from('longest'), offset: 2 ** 40 + 70_000, timestamp: 5_000_000_000_009 },
    { key: null, value: null, offset: 2 ** 40 + 70_005, timestamp: -1 },
  ];
  const frame = inputFrame(records, 2 ** 40, 5_000_000_000_007);
  const field = (code: string): Promise<bigint[]> =>
    numbersOf(transform({ body: writeNumbers(`(i64.store (i32.const 514) ${code})`) }), frame, 3);
  const same = (value: number): bigint[] => [BigInt(value), BigInt(value), BigInt(value)];
  expect(await field('(i64.load (i32.const 0))')).toEqual(same(2 ** 40));
  expect(await field('(i64.load32_s (i32.const 8))')).toEqual(same(3));
  expect(await field('(i64.load32_s (i32.const 12))')).toEqual(same(-1));
  expect(await field('(i64.load16_s (i32.const 16))')).toEqual(same(0));
  expect(await field('(i64.load32_s (i32.const 20))')).toEqual(same(70_005));
  expect(await field('(i64.load (i32.const 24))')).toEqual(same(5_000_000_000_007));
  expect(await field('(i64.load (i32.const 32))')).toEqual(same(5_000_000_000_009));
  expect(await field('(i64.load (i32.const 40))')).toEqual(same(-1));
  expect(await field('(i64.load16_s (i32.const 48))')).toEqual(same(-1));
  expect(await field('(i64.load32_s (i32.const 52))')).toEqual(same(-1));
  // Null key, value "longest", no headers.
  expect(await field('(i64.extend_i32_s (local.get $longest))')).toEqual(same(10));
  // The record's own.
  expect(await field('(i64.load8_u (i32.const 56))')).toEqual(same(0));
  expect(await field('(i64.load (i32.const 64))')).toEqual([5_000_000_000_007n, 5_000_000_000_009n, -1n]);
  expect(await field('(i64.load (i32.const 72))')).toEqual([2n ** 40n, 2n ** 40n + 70_000n, 2n ** 40n + 70_005n]);
});

test('random bytes depend on the record and its partition, not on what came before', async () => {
  const draw = '(drop (call $random (i32.const 514) (i32.const 8)))';
  const bytes = transform({
    extra: '(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))',
    body: writeNumbers(draw) + writeNumbers(draw),
  });
  const both = await numbersOf(bytes, inputFrame(values('a', 'b'), 100), 2);
  expect(new Set(both).size).toBe(4);
  expect(await numbersOf(bytes, inputFrame(values('x'), 101), 1)).toEqual(both.slice(2));
  const { guest } = await open(bytes, { ...SETUP, partition: 4 });
  const elsewhere = Buffer.from((await guest.process(inputFrame(values('b'), 101), 1)) ?? []);
  expect(elsewhere.readBigInt64LE(22)).not.toBe(both[2]);
});

test('reads and writes that cannot be answer with the errors of the ABI', async () => {
  const status = (code: string): string => writeNumbers(`(i64.store (i32.const 514) (i64.extend_i32_s ${code}))`);
  const one = inputFrame(values('abc'));
  const says = async (code: string, extra = {}): Promise<bigint | undefined> =>
    (await numbersOf(transform({ body: status(code), ...extra }), one, 1))[0];
  // Behind the last record.
  expect(await says('(call $read)')).toBe(-1n);
  // Before the first batch.
  const early = {
    extra: '(global $early (mut i32) (i32.const 0))',
    start: '(global.set $early (call $write (i32.const 0) (i32.const 3)))',
  };
  expect(await says('(global.get $early)', early)).toBe(-1n);
  const readEarly = { ...early, start: '(global.set $early (call $read))' };
  expect(await says('(global.get $early)', readEarly)).toBe(-1n);
  // A buffer that is too small leaves the record where it is.
  const small = {
    extra: '(global $small (mut i32) (i32.const 0))',
    batch:
      '(global.set $small (call $next (i32.const 56) (i32.const 64) (i32.const 72) (i32.const 1024) (i32.const 5)))',
  };
  expect(await says('(global.get $small)', small)).toBe(-2n);
  expect(await says('(local.get $size)', small)).toBe(6n);
  // No record: a value that runs past the end, and nothing at all.
  expect(await says('(call $write (i32.const 1024) (i32.const 4))')).toBe(-2n);
  expect(await says('(call $write (i32.const 1024) (i32.const 0))')).toBe(-2n);
  // Options: unknown, cut off, with something behind, a topic that is none of the outputs.
  const options = (bytes: number[]): string => {
    const stores = bytes.map((byte, i) => `(i32.store8 (i32.const ${700 + i}) (i32.const ${byte}))`).join(' ');
    return `(block (result i32) ${stores} (call $write_to (i32.const 1024) (local.get $size) (i32.const 700) (i32.const ${bytes.length})))`;
  };
  const topic = (name: string): number[] => [1, name.length * 2, ...Buffer.from(name)];
  expect(await says(options([2, 2, 97]))).toBe(-2n);
  expect(await says(options([1, 6, 97]))).toBe(-2n);
  expect(await says(options([...topic('orders.out'), 0]))).toBe(-2n);
  expect(await says(options(topic('nowhere')))).toBe(-3n);
});

test('write options name an output by its topic or its name; none is the default', async () => {
  const options = (bytes: number[]): string => `
    ${bytes.map((byte, i) => `(i32.store8 (i32.const ${700 + i}) (i32.const ${byte}))`).join(' ')}
    (if (i32.ne (call $write_to (i32.const 1024) (local.get $size) (i32.const 700) (i32.const ${bytes.length})) (local.get $size)) (then (unreachable)))`;
  const topic = (name: string): number[] => [1, name.length * 2, ...Buffer.from(name)];
  const body = [[], topic('orders.suspect'), topic('suspect'), topic('orders.out'), [1, 1]].map(options).join('\n');
  const { guest } = await open(transform({ body }));
  const out = outputFrame(await guest.process(inputFrame(values('abc')), 1));
  expect(out.map(each => each.route)).toEqual([0, 1, 1, 0, 0]);
});

test('a payload may write its lengths in other ways than the log does; what is stored is what the log knows', async () => {
  // Key length -3, value "v" behind a length of two bytes, one header: a null name and a value of length -2.
  const loose = [0x05, 0x82, 0x00, 0x76, 0x02, 0x01, 0x03];
  const stores = loose.map((byte, i) => `(i32.store8 (i32.const ${700 + i}) (i32.const ${byte}))`).join(' ');
  const write = `(if (i32.ne (call $write (i32.const 700) (i32.const ${loose.length})) (i32.const ${loose.length})) (then (unreachable)))`;
  const { guest } = await open(transform({ body: `${stores} ${write}` }));
  const frame = await guest.process(inputFrame(values('abc')), 1);
  expect(outputFrame(frame)).toMatchObject([{ key: null, value: 'v', headers: [['', null]] }]);
  expect(
    Buffer.from(frame ?? [])
      .subarray(20)
      .toString('hex'),
  ).toBe(hex('01027602', '0001'));
});

test('a transform that ends, traps or hands over what it has not got, ends its call with that', async () => {
  const failing = async (
    options: Parameters<typeof transform>[0],
    count = 2,
  ): Promise<{ error: unknown; record: number; words: string }> => {
    const { guest, host } = await open(transform(options));
    const texts = Array.from({ length: count }, (_, i) => `v${i}`);
    const error: unknown = await guest.process(inputFrame(values(...texts)), count).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    // Whoever goes on with it is told again.
    await expect(guest.process(inputFrame(values('x')), 1)).rejects.toBe(error);
    return { error, record: host.cell[CELL.record] as number, words: guest.lastWords };
  };
  const second = (code: string): string => `(if (i32.eq (local.get $left) (i32.const 1)) (then ${code}))`;
  expect(await failing({ body: second('(unreachable)') })).toMatchObject({
    error: { message: 'unreachable' },
    record: 1,
  });
  expect(await failing({ body: second('(call $exit (i32.const 3))') })).toMatchObject({
    error: { code: 'EXITED', message: 'the module ended itself with exit code 3' },
    record: 1,
  });
  expect(await failing({ body: second('(return)') })).toMatchObject({ error: { code: 'EXITED' } });
  expect(await failing({ body: '(drop (call $write (i32.const 999999) (i32.const 4)))' })).toMatchObject({
    error: { code: 'BAD_POINTER' },
  });
  expect(await failing({ body: '(drop (call $write (i32.const 1024) (i32.const -4)))' })).toMatchObject({
    error: { code: 'BAD_POINTER' },
  });
  expect(await failing({ batch: '(br $batches)' })).toMatchObject({ error: { code: 'UNREAD', record: 0 }, record: 0 });
  const flood = '(loop $l (drop (call $write (i32.const 1024) (local.get $size))) (br $l))';
  expect(await failing({ body: second(flood) })).toMatchObject({ error: { code: 'OUTPUT_TOO_LARGE', record: 1 } });
});

test('pointers that are none are the fault of the batch that they are for', async () => {
  const bytes = transform({ start: '(i32.store (i32.const 80) (i32.const -8))' });
  const text = Buffer.from(bytes);
  // The header's first pointer, 0, becomes one outside of the memory.
  const at = text.indexOf(Buffer.from([0x41, 0x00, 0x41, 0x08, 0x41, 0x0c]));
  text[at + 1] = 0x7c;
  const { guest } = await open(text);
  await expect(guest.process(inputFrame(values('a')), 1)).rejects.toMatchObject({ code: 'BAD_POINTER' });
});

test('a transform that is let go while it waits leaves nothing behind', async () => {
  const module = new WebAssembly.Module(transform());
  const grown = async (): Promise<number> => {
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 2000; i++) {
      const guest = await RedpandaGuest.open(module, guestHost(), SETUP);
      await guest.process(inputFrame(values('a')), 1);
      guest.close();
    }
    return process.memoryUsage.rss() - before;
  };
  await grown();
  // 2,000 stacks of suspended guests are more than 80 MB.
  expect(await grown()).toBeLessThan(40 * 1024 * 1024);
});

test('what a guest asks of WASI for more than its memory holds is its fault', async () => {
  const calls = `(import "wasi_snapshot_preview1" "fd_write" (func $print (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))`;
  const faults = async (code: string): Promise<unknown> => {
    const { guest } = await open(transform({ extra: calls, body: `(drop ${code})` }));
    return guest.process(inputFrame(values('a')), 1).catch((error: unknown) => error);
  };
  // Eight bytes a vector: this many wrap around.
  const many = '(i32.const 0x20000001)';
  for (const code of [
    `(call $print (i32.const 1) (i32.const 64) ${many} (i32.const 128))`,
    `(call $print (i32.const 1) (i32.const 64) (i32.const -1) (i32.const 128))`,
    `(call $poll (i32.const 64) (i32.const 128) (i32.const 0x55555556) (i32.const 512))`,
    `(call $poll (i32.const 64) (i32.const 999999) (i32.const 1) (i32.const 512))`,
    `(call $env (i32.const 0) (i32.const 262140))`,
  ]) {
    expect(await faults(code)).toMatchObject({ code: 'BAD_POINTER' });
  }
});

test('a sleep ends at once, the clock it went by has moved to its end, and what would ring later has not rung', async () => {
  const extra = `(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))`;
  // Subscriptions of 48 bytes at 3000: userdata, kind (0: a clock), clock, timeout in nanoseconds, flags (1: absolute).
  const clock = (n: number, userdata: number, id: number, ns: string, flags = 0): string => {
    const at = (offset: number): string => `(i32.const ${3000 + 48 * n + offset})`;
    return `(i64.store ${at(0)} (i64.const ${userdata})) (i32.store8 ${at(8)} (i32.const 0))
      (i32.store ${at(16)} (i32.const ${id})) (i64.store ${at(24)} (i64.const ${ns})) (i32.store16 ${at(40)} (i32.const ${flags}))`;
  };
  const poll = (count: number): string =>
    `(drop (call $poll (i32.const 3000) (i32.const 3200) (i32.const ${count}) (i32.const 3400)))`;
  const now = (id: number, to: number): string =>
    `(drop (call $time (i32.const ${id}) (i64.const 1) (i32.const ${to})))`;
  const numbers = (before: string, code: string): Promise<bigint[]> => {
    const body = `${before} ${writeNumbers(`(i64.store (i32.const 514) ${code})`)}`;
    return numbersOf(transform({ extra, body }), inputFrame(values('a')), 1);
  };
  const two = `${now(1, 3408)} ${clock(0, 7, 1, '9_000_000_000')} ${clock(1, 8, 1, '5_000_000_000')} ${poll(2)} ${now(1, 3416)}`;
  expect(await numbers(two, '(i64.load32_u (i32.const 3400))')).toEqual([1n]);
  expect(await numbers(two, '(i64.load (i32.const 3200))')).toEqual([8n]);
  expect(await numbers(two, '(i64.sub (i64.load (i32.const 3416)) (i64.load (i32.const 3408)))')).toEqual([
    5_001_000_000n,
  ]);
  const until = `${clock(0, 7, 0, '1_900_000_000_000_000_000', 1)} ${poll(1)} ${now(0, 3408)}`;
  expect(await numbers(until, '(i64.load (i32.const 3408))')).toEqual([1_900_000_000_000_000_000n]);
  const forEver = `${clock(0, 7, 1, '-1')} ${poll(1)} ${now(1, 3408)}`;
  expect(await numbers(forEver, '(i64.load (i32.const 3408))')).toEqual([9_223_372_036_854_000_000n]);
});

test('a start function that calls the host before there is a memory is refused', async () => {
  const bytes = assemble(`(module
    (import "redpanda_transform" "check_abi_version_1" (func))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func $early (drop (call $random (i32.const 0) (i32.const 8))))
    (start $early)
    (func (export "_start")))`);
  await expect(open(bytes)).rejects.toMatchObject({ code: 'BAD_POINTER' });
});
