import { expect, test } from 'vitest';
import { CoreGuest, refuseCapabilities } from '../../../etl/abi/core.ts';
import { explainFault, GuestFault, InitRefused } from '../../../etl/abi/guest.ts';
import { CELL, PHASE } from '../../../etl/sandbox/cell.ts';
import { assemble } from '../sandbox/guests.ts';

const MIB = 1024 * 1024;

/** A guest whose process does `body`; its input lies at 1024. */
function guestOf(
  body: string,
  capabilities = 1,
  more = '',
): { guest: CoreGuest; cell: Int32Array; lines: [number, string][] } {
  const text = `(module
    (import "millstream" "log" (func $log (param i32 i32 i32)))
    (import "millstream" "progress" (func $progress (param i32)))
    (import "millstream" "fail" (func $fail (param i32 i32 i32 i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "BAD_CODE")
    (data (i32.const 32) "no good\\ff")
    (func (export "millstream_abi_v1") (result i32) (i32.const ${capabilities}))
    (func (export "millstream_alloc") (param i32) (result i32) (select (i32.const 1024) (i32.const 0) (i32.lt_u (local.get 0) (i32.const 60000))))
    (func (export "millstream_process") (param $ptr i32) (param $len i32) (result i64) ${body})
    ${more})`;
  const cell = new Int32Array(8);
  const lines: [number, string][] = [];
  const host = {
    cell,
    log: (level: number, line: () => string) => void lines.push([level, line()]),
    memory: { kept: new Uint8Array(0) },
    past: () => [],
  };
  return { guest: new CoreGuest(new WebAssembly.Module(assemble(text)), host, Buffer.from('{}')), cell, lines };
}

const frame = Buffer.from('frame');

test('a call hands the frame over and gives back a view of what the guest points to', () => {
  const { guest } = guestOf('(i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.extend_i32_u (local.get $len)))');
  expect(Buffer.from(guest.process(frame, 1, 100) ?? []).toString()).toBe('frame');
  expect(guestOf('(i64.const 0)').guest.process(frame, 1, 100)).toBeNull();
});

test('progress is written into the cell, and only for those who said that they report it', () => {
  const body = '(call $progress (i32.const 5)) (i64.const 0)';
  const reporting = guestOf(body);
  reporting.guest.process(frame, 9, 100);
  expect(reporting.cell[CELL.record]).toBe(5);
  expect(reporting.cell[CELL.phase]).toBe(PHASE.host);
  const silent = guestOf(body, 0);
  silent.guest.process(frame, 9, 100);
  expect(silent.cell[CELL.record]).toBe(0);
});

test('fail keeps the first word about each record of the last call; codes that are none become FAILED', () => {
  const fail = (i: number, codeLength: number, textLength: number): string =>
    `(call $fail (i32.const ${i}) (i32.const 16) (i32.const ${codeLength}) (i32.const 32) (i32.const ${textLength}))`;
  const { guest } = guestOf(`${fail(1, 8, 7)} ${fail(1, 3, 2)} ${fail(0, 0, 0)} ${fail(2, 3, 8)} (i64.const 0)`);
  for (let call = 0; call < 2; call++) {
    guest.process(frame, 3, 100);
    expect([...guest.failures]).toEqual([
      [1, { code: 'BAD_CODE', reason: 'no good' }],
      [0, { code: 'FAILED', reason: 'the module gave no reason' }],
      [2, { code: 'BAD', reason: 'no good\ufffd' }],
    ]);
  }
});

test('a log line is cut at 1 KiB', () => {
  const { guest, lines } = guestOf('(call $log (i32.const 2) (i32.const 32) (i32.const 5000)) (i64.const 0)');
  guest.process(frame, 1, 100);
  expect(lines[0]?.[0]).toBe(2);
  expect(lines[0]?.[1].startsWith('no good')).toBe(true);
  expect(Buffer.byteLength(lines[0]?.[1] ?? '')).toBeLessThanOrEqual(1024 + 3);
});

test.each([
  [
    'text outside of its memory',
    '(call $log (i32.const 1) (i32.const 65530) (i32.const 7)) (i64.const 0)',
    'BAD_OUTPUT',
  ],
  ['text of a negative length', '(call $log (i32.const 1) (i32.const 0) (i32.const -1)) (i64.const 0)', 'BAD_OUTPUT'],
  [
    'a failure of a record that it was not given',
    '(call $fail (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i64.const 0)',
    'BAD_OUTPUT',
  ],
  [
    'a failure of the whole call',
    '(call $fail (i32.const -1) (i32.const 16) (i32.const 8) (i32.const 32) (i32.const 7)) (i64.const 0)',
    'BAD_CODE',
  ],
  [
    'a failure of record -2',
    '(call $fail (i32.const -2) (i32.const 16) (i32.const 8) (i32.const 32) (i32.const 7)) (i64.const 0)',
    'BAD_OUTPUT',
  ],
  ['a frame outside of its memory', '(i64.const 0x0000ffff00000002)', 'BAD_OUTPUT'],
  ['a frame at the very top of all addresses', '(i64.const -1)', 'BAD_OUTPUT'],
  ['more than it may', '(i64.const 0x0000000000000065)', 'OUTPUT_TOO_LARGE'],
])('%s from the guest is a fault', (_what, body, code) => {
  const { guest } = guestOf(body);
  const run = (): unknown => guest.process(frame, 3, 100);
  expect(run).toThrow(GuestFault);
  expect(run).toThrow(expect.objectContaining({ code }));
});

test('a guest without room for the input is at its memory limit', () => {
  const { guest } = guestOf('(i64.const 0)');
  expect(() => guest.process(Buffer.alloc(60_000), 1, 100)).toThrow(expect.objectContaining({ code: 'MEMORY_LIMIT' }));
});

test('required capabilities that are not given yet, or never, refuse the module', () => {
  expect(() => guestOf('(i64.const 0)', 16)).toThrow(InitRefused);
  expect([0, 1, 2, 3].map(refuseCapabilities)).toEqual([null, null, null, null]);
  expect(refuseCapabilities(1 | 16)).toBe(
    'the module requires capability 16 (secrets), which this version does not give yet',
  );
  expect(refuseCapabilities(1 | 64)).toBe('the module requires unknown capability bits (65)');
});

test('a fault is explained by what was thrown and how full the memory was', () => {
  const calm = { before: MIB, now: MIB, limit: 16 * MIB };
  const trap = new WebAssembly.RuntimeError('unreachable');
  expect(explainFault(trap, calm)).toEqual({ code: 'TRAP', reason: 'the module trapped: unreachable' });
  expect(explainFault(trap, { ...calm, now: 15 * MIB })).toMatchObject({ code: 'MEMORY_LIMIT' });
  expect(explainFault(trap, { ...calm, now: 9 * MIB })).toMatchObject({ code: 'MEMORY_LIMIT' });
  expect(explainFault(trap, { ...calm, before: 9 * MIB, now: 9 * MIB })).toMatchObject({ code: 'TRAP' });
  const overflow = new RangeError('Maximum call stack size exceeded');
  expect(explainFault(overflow, calm)).toMatchObject({ code: 'STACK_OVERFLOW' });
});

test('what a module exports under a name of components is its own affair', () => {
  const own = '(func (export "onTimers") (param i32 i32) (result i64) unreachable)';
  const flush = '(func (export "millstream_flush") (param i32) (result i64) (i64.const 0x0000001000000008))';
  const { guest } = guestOf('(i64.const 0)', 1, own + flush);
  expect(Buffer.from(guest.flush(['timer'], MIB) ?? []).toString()).toBe('BAD_CODE');
});
