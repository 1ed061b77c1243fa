import { expect, test } from 'vitest';
import { FluvioGuest } from '../../../etl/abi/fluvio.ts';
import { initInput, InputWriter, partsOf } from '../../../etl/abi/fluvio-codec.ts';
import { InputFrame } from '../../../etl/abi/frames.ts';
import { type GuestSetup, InitRefused } from '../../../etl/abi/guest.ts';
import { CELL, PHASE } from '../../../etl/sandbox/cell.ts';
import { assemble } from '../sandbox/guests.ts';
import { type FrameRecord, guestHost, inputFrame, outputFrame, SETUP, values } from './frames.ts';

const hex = (...parts: string[]): string => parts.join('');

/*
 * SmartModules in WebAssembly text, whose outputs are bytes that were put together by hand. The input lies at 8192.
 */

interface Shape {
  transform?: string;
  /** Bytes that copy_records hands over; null: it is not called. */
  output?: string | null;
  /** What the transform does; $len is the input's length. */
  body?: string;
  more?: string;
}

function smartModule({ transform = 'map', output = '', body, more = '' }: Shape): Uint8Array {
  const bytes = output === null ? '' : output.replace(/../g, '\\$&');
  const copy = output === null ? '' : `(call $copy (i32.const 1024) (i32.const ${output.length / 2}))`;
  return assemble(`(module
    (import "somewhere" "copy_records" (func $copy (param i32 i32)))
    (memory (export "memory") 2)
    (data (i32.const 1024) "${bytes}")
    (func (export "alloc") (param i32) (result i32) (i32.const 8192))
    ${more}
    (func (export "${transform}") (param $ptr i32) (param $len i32) (param $version i32) (result i32)
      ${body ?? `${copy} (i32.const 0)`}))`);
}

function open(bytes: Uint8Array, setup: Partial<GuestSetup> = {}) {
  const host = guestHost();
  const guest = new FluvioGuest(new WebAssembly.Module(bytes), host, { ...SETUP, ...setup });
  return {
    host,
    guest,
    run: (...records: FrameRecord[]) => outputFrame(guest.process(inputFrame(records), records.length)),
  };
}

const int32 = (n: number): string => Buffer.from([n >> 24, n >> 16, n >> 8, n]).toString('hex');
/** A record without key: time delta, offset delta and value as given. Lengths stay below 64. */
const record = (value: string, time = '00', key: string | null = null): string => {
  const body = `00${time}00${key === null ? '00' : `01${(key.length * 2).toString(16).padStart(2, '0')}${Buffer.from(key).toString('hex')}`}${(value.length * 2).toString(16).padStart(2, '0')}${Buffer.from(value).toString('hex')}00`;
  return `${body.length.toString(16).padStart(2, '0')}${body}`;
};
const records = (...each: string[]): string => int32(each.length) + each.join('');
const hint = (text: string): string => int32(text.length).slice(4) + Buffer.from(text).toString('hex');
const error = (text: string): string => `01${hint(text)}000000000000006501000278`;

test('the input is one record in version 22 of the protocol, byte for byte', () => {
  const inputOf = (given: FrameRecord, accumulator: Uint8Array | null): string => {
    const frame = new InputFrame(inputFrame([given], given.offset), 1);
    frame.next();
    const parts = partsOf(frame.bytes, frame.bodyFrom);
    return Buffer.from(new InputWriter().write(frame.bytes, parts, frame, accumulator)).toString('hex');
  };
  const headers = [['h', Buffer.from('x')]] as const;
  const given = { key: Buffer.from('k'), value: Buffer.from('value'), headers, offset: 2 ** 33, timestamp: -1 };
  const end = hex('0000', '00', '00000000', 'ffffffffffffffff');
  const keyed = hex('1a', '000000', '01', '026b', '0a', '76616c7565', '00');
  expect(inputOf(given, null)).toBe(hex('0000000200000000', '00000012', '00000001', keyed, end));
  const bare = hex('0c', '000000', '00', '00', '00');
  expect(inputOf({ key: null, value: Buffer.alloc(0), offset: 7, timestamp: -1 }, Buffer.from('sum'))).toBe(
    hex('0000000000000007', '0000000b', '00000001', bare, end, '00000003', '73756d'),
  );
  // A key of no bytes is a key; lengths from 64 on take two bytes.
  const long = inputOf({ key: Buffer.alloc(0), value: Buffer.alloc(64, 97), offset: 0, timestamp: -1 }, null);
  expect(long).toBe(
    hex('0000000000000000', '0000004e', '00000001', '9001', '000000', '01', '00', '8001', '61'.repeat(64), '00', end),
  );
});

test('nothing, one and many outputs of a record', () => {
  expect(open(smartModule({ output: `${records()}00` })).run(...values('a'))).toEqual([]);
  const many = open(smartModule({ output: `${records(record('x'), record('y', '00', 'k'))}00` }));
  const headers = [['h', Buffer.from('1')]] as const;
  expect(many.run({ key: Buffer.from('old'), value: Buffer.from('a'), headers }, ...values('b'))).toEqual([
    { index: 0, route: 0, timestamp: null, key: null, value: 'x', headers: [['h', '1']] },
    { index: 0, route: 0, timestamp: null, key: 'k', value: 'y', headers: [['h', '1']] },
    { index: 1, route: 0, timestamp: null, key: null, value: 'x', headers: [] },
    { index: 1, route: 0, timestamp: null, key: 'k', value: 'y', headers: [] },
  ]);
});

test('a time delta moves the time of the output', () => {
  const { run } = open(smartModule({ output: `${records(record('x', '0a'), record('y', '09'))}00` }));
  expect(run({ key: null, value: Buffer.from('a'), timestamp: 1000 }).map(each => each.timestamp)).toEqual([1005, 995]);
});

test('an error is the failure of its record, in its own words; what came out with it is void', () => {
  const { run, guest, host } = open(smartModule({ output: records(record('x')) + error('no good') }));
  expect(run(...values('a', 'b'))).toEqual([]);
  expect([...guest.failures]).toEqual([
    [0, { code: 'FAILED', reason: 'no good' }],
    [1, { code: 'FAILED', reason: 'no good' }],
  ]);
  expect(host.cell[CELL.record]).toBe(1);
});

test.each([
  [-11, /could not decode its input/],
  [-33, /could not encode its output/],
  [-1, /does not say why \(-1\)/],
])('status %i is the failure of its record', (status, says) => {
  const { run, guest } = open(smartModule({ body: `(i32.const ${status})` }));
  expect(run(...values('a'))).toEqual([]);
  expect(guest.failures.get(0)).toEqual({ code: 'FAILED', reason: expect.stringMatching(says) });
});

test.each([
  ['none at all', null],
  ['an empty one', ''],
  ['a list without its records', int32(2) + record('x')],
  ['four billion records', 'ffffffff'],
  ['a record that runs past the end', `${int32(1)}7e00`],
  ['a value that runs past its record', `${int32(1)}0a000000000478780000`],
  ['a value that runs past the end', `${int32(1)}0e000000007e`],
  ['an error that is cut off', `${records()}010005`],
  ['no option behind the records', records(record('x'))],
])('an output that is damaged (%s) is the fault of its record', (_what, output) => {
  const { guest } = open(smartModule({ output }));
  expect(() => guest.process(inputFrame(values('a')), 1)).toThrow(
    expect.objectContaining({ code: 'BAD_OUTPUT', record: 0 }) as Error,
  );
});

test('an output outside of the memory is a fault, and so is no room for the input', () => {
  const outside = open(smartModule({ body: '(call $copy (i32.const 131072) (i32.const 1)) (i32.const 1)' }));
  expect(() => outside.run(...values('a'))).toThrow(expect.objectContaining({ code: 'BAD_POINTER' }) as Error);
  const big = open(smartModule({ output: `${records()}00` }));
  const huge = { key: null, value: Buffer.alloc(200_000) };
  expect(() => big.run(huge)).toThrow(expect.objectContaining({ code: 'BAD_POINTER' }) as Error);
});

test('an accumulator goes from call to call, and a call that fails leaves it as it was', () => {
  // The accumulator is the number of calls so far, in one byte; a value that begins with ! traps.
  const { run, host } = open(
    smartModule({
      transform: 'aggregate',
      output: `${records()}00${int32(1)}00`,
      more: '(global $calls (mut i32) (i32.const 0))',
      body: `(if (i32.eq (i32.load8_u offset=22 (local.get $ptr)) (i32.const 33)) (then (unreachable)))
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (i32.store8 (i32.const 1033) (global.get $calls))
        (call $copy (i32.const 1024) (i32.const 10)) (i32.const 0)`,
    }),
  );
  run(...values('a', 'b'));
  expect([...host.memory.kept]).toEqual([2]);
  expect(() => run(...values('c', '!'))).toThrow('unreachable');
  expect([...host.memory.kept]).toEqual([2]);
});

test('init is given params and look-back; its refusal is told', () => {
  expect(Buffer.from(initInput([], null)).toString('hex')).toBe(hex('0000', '00'));
  expect(
    Buffer.from(
      initInput(
        [
          ['a', 'bc'],
          ['', 'é'],
        ],
        { last: 5, ageMs: null },
      ),
    ).toString('hex'),
  ).toBe(hex('0002', '000161', '00026263', '0000', '0002c3a9', '01', '0000000000000005', '00'));
  expect(Buffer.from(initInput([], { last: null, ageMs: 61_500 })).toString('hex')).toBe(
    hex('0000', '01', '0000000000000000', '01', '000000000000003d', '1dcd6500'),
  );
  const refusing = (status: number): Uint8Array =>
    smartModule({
      output: hint('wrong key'),
      more: `(func (export "init") (param i32 i32 i32) (result i32)
        (call $copy (i32.const 1024) (i32.const 11)) (i32.const ${status}))`,
    });
  expect(() => open(refusing(-2))).toThrow('wrong key');
  expect(() => open(refusing(-10))).toThrow('status -10');
  expect(open(refusing(0)).host.cell[CELL.phase]).toBe(PHASE.host);
});

test('an instance whose memory has grown past the water mark is replaced, initialised and shown what came before', () => {
  const page = 65_536;
  const leaking = smartModule({
    output: `${records(record('x'))}00`,
    // Leaks a page with each record, and works only when it has been initialised and has looked back at two records.
    body: `(if (i32.ne (global.get $ready) (i32.const 3)) (then (unreachable)))
      (drop (memory.grow (i32.const 1)))
      (call $copy (i32.const 1024) (i32.const 14)) (i32.const 1)`,
    more: `(global $ready (mut i32) (i32.const 0))
      (func (export "init") (param i32 i32 i32) (result i32) (global.set $ready (i32.const 1)) (i32.const 0))
      (func (export "look_back") (param i32 i32 i32) (result i32)
        (global.set $ready (i32.add (global.get $ready) (i32.const 1))) (i32.const 0))`,
  });
  const host = guestHost();
  const body = Buffer.from('0102780000', 'hex').subarray(0, 4);
  const asked: number[] = [];
  host.past = offset => {
    asked.push(offset);
    return [offset - 2, offset - 1].map(each => ({ offset: each, timestamp: 0, body }));
  };
  const setup = { ...SETUP, memoryBytes: 22 * page, lookBack: { last: 2, ageMs: null } };
  const guest = new FluvioGuest(new WebAssembly.Module(leaking), host, setup);
  const texts = Array.from({ length: 35 }, () => 'a');
  expect(outputFrame(guest.process(inputFrame(values(...texts)), 35))).toHaveLength(35);
  // It begins with 2 pages and may grow to 12, so it is replaced before each eleventh more.
  expect(asked).toEqual([100, 111, 122, 133]);
  expect(guest.memoryBytes).toBe(4 * page);
});

test('a record that look_back refuses is told and passed over; a trap there is a module that does not start', () => {
  const shape = (body: string): Uint8Array =>
    smartModule({
      output: `${records(record('x'))}00`,
      more: `(data (i32.const 4096) "\\00\\03bad")
        (func (export "look_back") (param i32 i32 i32) (result i32) ${body})`,
    });
  const setup = { ...SETUP, lookBack: { last: 1, ageMs: null } };
  const refusing = guestHost();
  refusing.past = () => [{ offset: 9, timestamp: 0, body: Buffer.from('01027800', 'hex') }];
  const bytes = shape('(call $copy (i32.const 4096) (i32.const 5)) (i32.const -99)');
  const guest = new FluvioGuest(new WebAssembly.Module(bytes), refusing, setup);
  expect(outputFrame(guest.process(inputFrame(values('a')), 1))).toHaveLength(1);
  expect(refusing.lines).toEqual([[2, 'look_back refused the record at offset 9: bad']]);
  const trapping = new FluvioGuest(new WebAssembly.Module(shape('(unreachable)')), refusing, setup);
  expect(() => trapping.process(inputFrame(values('a')), 1)).toThrow(InitRefused);
});
