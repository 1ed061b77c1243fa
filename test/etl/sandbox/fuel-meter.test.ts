import { describe, expect, test } from 'vitest';
import { type Charge, chargesOf } from '../../../etl/sandbox/fuel/charges.ts';
import { InstructionReader } from '../../../etl/sandbox/fuel/instruction-reader.ts';
import { meter } from '../../../etl/sandbox/fuel/meter.ts';
import { LENGTH_SHIFTS, OP, PREFIX } from '../../../etl/sandbox/fuel/opcodes.ts';
import { assemble } from './guests.ts';
import { fuelIn, FULL, meteredProgram, moduleOfBody, PREAMBLE, program, type Run, section } from './fuel-programs.ts';

const LOOP_UP = `(loop $l
  (local.set $i (i32.add (local.get $i) (i32.const 1)))
  (br_if $l (i32.lt_u (local.get $i) (local.get $n))))`;

/** Pays for every instruction by itself, just before it: nothing is taken together that does not belong together. */
const oneByOne: typeof chargesOf = (body, globals) => {
  const reader = new InstructionReader(body, globals);
  const charges: Charge[] = [];
  for (let depth = 1; depth > 0; ) {
    const at = body.at;
    reader.next();
    const { opcode, behind } = reader;
    if (opcode === OP.end) depth--;
    else if (opcode !== OP.else) {
      if (opcode === OP.block || opcode === OP.loop || opcode === OP.if) depth++;
      if (opcode !== OP.block && opcode !== OP.loop) charges.push({ at, instructions: 1, lengthShift: null });
      const lengthShift = opcode === PREFIX.bulk ? LENGTH_SHIFTS.get(behind as number) : undefined;
      if (lengthShift !== undefined) charges.push({ at, instructions: 0, lengthShift });
    }
  }
  return charges;
};

describe('what a call costs', () => {
  test('is the number of its instructions; block, loop, else and end are none', () => {
    const call = program(`
      (func (export "nothing"))
      (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
      (func (export "choose") (param i32) (result i32)
        (if (result i32) (local.get 0) (then (i32.const 7)) (else (i32.add (i32.const 3) (i32.const 4)))))
      (func (export "up") (param $n i32) (result i32) (local $i i32) ${LOOP_UP} (local.get $i))`);
    expect(call('nothing')).toEqual({ result: undefined, used: 0, spent: false });
    expect(call('add', [3, 4])).toMatchObject({ result: 7, used: 3 });
    expect(call('choose', [1])).toMatchObject({ result: 7, used: 2 + 1 });
    expect(call('choose', [0])).toMatchObject({ result: 7, used: 2 + 3 });
    expect(call('up', [1])).toMatchObject({ result: 1, used: 8 + 1 });
    expect(call('up', [1000])).toMatchObject({ result: 1000, used: 8 * 1000 + 1 });
  });

  test('grows with the length that a bulk operation works on, eight bytes an instruction', () => {
    const call = program(`(memory 2) (table 100 funcref) (data $d "0123456789abcdef") (elem $e func $f) (func $f)
      (func (export "fill") (param i32) (memory.fill (i32.const 0) (i32.const 1) (local.get 0)))
      (func (export "copy") (param i32) (memory.copy (i32.const 0) (i32.const 8) (local.get 0)))
      (func (export "init") (param i32) (memory.init $d (i32.const 0) (i32.const 0) (local.get 0)))
      (func (export "table") (param i32) (table.fill 0 (i32.const 0) (ref.null func) (local.get 0)))
      (func (export "grow") (param i32) (drop (table.grow 0 (ref.null func) (local.get 0))))
      (func (export "first") (result i32) (i32.load8_u (i32.const 0)))`);
    expect(call('fill', [0]).used).toBe(4);
    expect(call('fill', [65_536]).used).toBe(4 + 8192);
    expect(call('first').result).toBe(1);
    expect(call('copy', [64]).used).toBe(4 + 8);
    expect(call('init', [16])).toEqual({ result: undefined, used: 4 + 2, spent: false });
    expect(call('table', [100]).used).toBe(4 + 100);
    expect(call('grow', [50]).used).toBe(4 + 50);
    // The length is looked at as it is: four billion, and not -1.
    expect(call('fill', [-1])).toMatchObject({ spent: true });
    expect(call('fill', [65_536], 8000n)).toMatchObject({ spent: true, used: 4 + 8192 });
  });

  test('is the same, whichever way the instructions are taken together', () => {
    for (const [name, text, calls] of PROGRAMS) {
      const bytes = assemble(`(module ${text})`);
      const [inRuns, single] = [meteredProgram(bytes), meteredProgram(bytes, oneByOne)];
      for (const args of calls) {
        const [run, other] = [inRuns('f', args), single('f', args)];
        expect(run, `${name}(${args.join()})`).toEqual(other);
        expect(run.spent).toBe(false);
      }
    }
  });
});

/** Programs of each kind of control flow, all of which end. */
const PROGRAMS: [name: string, text: string, calls: number[][]][] = [
  [
    'nested loops',
    `(func (export "f") (param $n i32) (result i32) (local $i i32) (local $j i32)
      (block $done (loop $outer
        (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $j (i32.const 0))
        (block $inner_done (loop $inner
          (br_if $inner_done (i32.gt_u (local.get $j) (local.get $i)))
          (local.set $j (i32.add (local.get $j) (i32.const 1)))
          (br_if $outer (i32.eq (i32.mul (local.get $i) (local.get $j)) (i32.const 77)))
          (br $inner)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $outer)))
      (local.get $j))`,
    [[0], [1], [7], [6]],
  ],
  [
    'br_table',
    `(func (export "f") (param i32) (result i32)
      (block $d (block $c (block $b (block $a (br_table $a $b $c $b $d (local.get 0)))
        (return (i32.const 10))) (return (i32.add (i32.const 10) (i32.const 1))))
        (drop (i32.const 5)) (drop (i32.const 6)))
      (i32.const 13))`,
    [[0], [1], [2], [3], [4], [99]],
  ],
  [
    'if without else, branches out of it',
    `(func (export "f") (param i32) (result i32) (local $x i32)
      (block $out
        (if (i32.and (local.get 0) (i32.const 1)) (then (local.set $x (i32.const 1)) (br_if $out (i32.and (local.get 0) (i32.const 2)))))
        (if (i32.and (local.get 0) (i32.const 4)) (then (br $out)) (else (local.set $x (i32.add (local.get $x) (i32.const 8)))))
        (local.set $x (i32.add (local.get $x) (i32.const 16))))
      (local.get $x))`,
    [[0], [1], [2], [3], [4], [5], [6], [7]],
  ],
  [
    'many values',
    `(func $two (param i32) (result i32 i32) (i32.add (local.get 0) (i32.const 1)) (i32.mul (local.get 0) (i32.const 2)))
     (func (export "f") (param i32) (result i32) (local $a i32) (local $b i32)
      (block $b (result i32 i32)
        (br_if $b (i32.const 1) (i32.const 2) (local.get 0))
        (drop) (drop) (call $two (i32.const 20)))
      (i32.add))`,
    [[0], [1]],
  ],
  [
    'an early return',
    `(func (export "f") (param i32) (result i32)
      (loop $l
        (if (i32.lt_s (local.get 0) (i32.const 0)) (then (return (i32.const -1))))
        (if (i32.eqz (local.get 0)) (then (return (i32.const 99))))
        (local.set 0 (i32.sub (local.get 0) (i32.const 2)))
        (br $l))
      (unreachable))`,
    [[-1], [0], [1], [12], [13]],
  ],
  [
    'calls, direct, by table and of their own',
    `(type $t (func (param i32) (result i32)))
     (table 2 funcref) (elem (i32.const 0) $fib $double)
     (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
     (func $fib (param i32) (result i32)
       (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then (local.get 0))
         (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
     (func (export "f") (param i32) (result i32)
       (call_indirect (type $t) (local.get 0) (i32.and (local.get 0) (i32.const 1))))`,
    [[0], [1], [10], [12], [13]],
  ],
  [
    'tail calls',
    `(func $down (param i32 i32) (result i32)
       (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
       (return_call $down (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 3))))
     (func (export "f") (param i32) (result i32) (return_call $down (local.get 0) (i32.const 0)))`,
    [[0], [5], [1000]],
  ],
  [
    'a loop that falls through, code that nothing reaches, values below',
    `(func (export "f") (param i32) (result i32)
       (i32.const 40)
       (block $b (result i32)
         (loop (br_if 0 (local.tee 0 (i32.shr_u (local.get 0) (i32.const 1)))) (drop (i32.const 1)))
         (br $b (i32.const 2))
         (loop (br 0)) (drop (i32.const 9)) (memory.fill (i32.const 0) (i32.const 0) (i32.const 8)) (i32.const 3))
       (i32.add))
     (memory 1)`,
    [[0], [1], [1023]],
  ],
  [
    'bulk operations in a loop',
    `(memory 1) (func (export "f") (param $n i32) (result i32)
       (loop $l
         (memory.fill (local.get $n) (i32.const 3) (local.get $n))
         (memory.copy (i32.const 8) (local.get $n) (i32.const 100))
         (br_if $l (local.tee $n (i32.shr_u (local.get $n) (i32.const 1)))))
       (i32.load8_u (i32.const 8)))`,
    [[1], [1000], [4096]],
  ],
  [
    'vectors',
    `(memory 1) (func (export "f") (param $n i32) (result i32) (local $v v128)
       (loop $l
         (local.set $v (i32x4.add (local.get $v) (v128.const i32x4 1 2 3 4)))
         (v128.store (i32.const 16) (i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 (local.get $v) (local.get $v)))
         (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
       (i32.load (i32.const 28)))`,
    [[1], [9]],
  ],
];

describe('nothing runs for ever', () => {
  /** Each of these would, and does nothing else. */
  const SPINS: [name: string, text: string][] = [
    ['a loop whose body is one branch', '(func (export "f") (loop $l (br $l)))'],
    ['a loop whose body is one branch that is asked for', '(func (export "f") (loop $l (br_if $l (i32.const 1))))'],
    ['a loop that a table of branches repeats', '(func (export "f") (loop $l (br_table $l $l (i32.const 5))))'],
    [
      'a loop that is repeated from deep within',
      '(func (export "f") (loop $l (block (block (if (i32.const 1) (then (br $l)))))))',
    ],
    [
      'a loop behind code that nothing reaches',
      '(func (export "f") (block $b (br $b) (loop (br 0))) (loop $l (br $l)))',
    ],
    ['a tail call of itself', '(func $f (export "f") (return_call $f))'],
    [
      'a tail call by table',
      '(table 1 funcref) (elem (i32.const 0) $f) (type $t (func)) (func $f (export "f") (return_call_indirect (type $t) (i32.const 0)))',
    ],
    ['two that call each other at their ends', '(func $f (export "f") (return_call $g)) (func $g (return_call $f))'],
    ['two that call each other', '(func $f (export "f") (call $g)) (func $g (call $f))'],
  ];

  test.each(SPINS)('%s', (_name, text) => {
    const call = program(text);
    for (const full of [1n, 17n, 3000n]) {
      const run = call('f', [], full);
      expect(run).toMatchObject({ spent: true, result: 'unreachable' });
      expect(call('f', [], full)).toEqual(run);
    }
  });

  test('the last instruction that is paid for runs, the next one does not', () => {
    const call = program(`(global $i (mut i32) (i32.const 0))
      (func (export "f") (loop $l (global.set $i (i32.add (global.get $i) (i32.const 1))) (br $l)))
      (func (export "seen") (result i32) (global.get $i))
      (func (export "two") (result i32) (i32.eqz (i32.const 3)))`);
    expect(call('f', [], 50n)).toMatchObject({ spent: true });
    expect(call('seen').result).toBe(10);
    expect(call('two', [], 2n)).toEqual({ result: 0, used: 2, spent: false });
    expect(call('two', [], 1n)).toMatchObject({ spent: true });
  });

  test('a start function is not ended by it', () => {
    const call = program(`(global $i (mut i32) (i32.const 0)) (start $s)
      (func $s (loop $l (br_if $l (i32.lt_u (global.get $i) (i32.const 100000)) (global.set $i (i32.add (global.get $i) (i32.const 1))))))
      (func (export "seen") (result i32) (global.get $i))`);
    expect(call('seen').result).toBe(100_001);
  });
});

describe('the module itself', () => {
  const nameOf = (bytes: Uint8Array): string | undefined =>
    WebAssembly.Module.exports(new WebAssembly.Module(meter(bytes))).at(-1)?.name;

  test('that exports something of that name keeps it', () => {
    const text = (names: string[]): string =>
      names.map((name, i) => `(global (export "${name}") i64 (i64.const ${i}))`).join(' ');
    expect(nameOf(assemble('(module)'))).toBe('millstream_fuel');
    expect(nameOf(assemble(`(module ${text(['millstream_fuel', 'millstream_fuel_2'])})`))).toBe('millstream_fuel_1');
    const bytes = assemble(
      `(module ${text(['millstream_fuel', 'millstream_fuel_1'])} (func (export "f") (loop (br 0))))`,
    );
    expect(nameOf(bytes)).toBe('millstream_fuel_2');
    expect(meteredProgram(bytes)('f')).toMatchObject({ spent: true });
    const module = new WebAssembly.Module(meter(bytes));
    const { exports } = new WebAssembly.Instance(module);
    fuelIn(module, exports).value = 5n;
    expect((exports['millstream_fuel'] as { value: bigint }).value).toBe(0n);
  });

  test('cannot reach its own fuel, neither in its code nor by an export', () => {
    const globals = section(6, [1, 0x7f, 1, 0x41, 0, 0x0b]);
    for (const index of [1, 2]) {
      // i64.const 9, global.set: whole only when there is such a global.
      const code = moduleOfBody([0x42, 9, 0x24, index], { beforeExports: globals });
      expect(() => meter(code)).toThrow('it uses a global that does not exist');
      const exporting = Uint8Array.from([...PREAMBLE, ...globals, ...section(7, [1, 1, 0x66, 3, index])]);
      expect(() => meter(exporting)).toThrow('it exports a global that does not exist');
    }
    const behind = moduleOfBody([], { beforeExports: section(6, [0, 0x7e, 1, 0x42]) });
    expect(() => meter(behind)).toThrow('its globals are longer than they say');
  });

  test('keeps the names of its functions, and no section that tells of places in its code', () => {
    const custom = (name: string): number[] => section(0, [name.length, ...Buffer.from(name), 1, 2, 3]);
    const behind = [...custom('.debug_info'), ...custom('metadata.code.branch_hint'), ...custom('name')];
    const text = Buffer.from(meter(moduleOfBody([], { behind }))).toString('latin1');
    expect(text).toContain('name');
    expect(text).not.toContain('debug_info');
    expect(text).not.toContain('branch_hint');
  });

  test('with a function too many, or code that goes on behind its end, is refused', () => {
    expect(() => meter(moduleOfBody([0x0b, 0x01]))).toThrow('a function is longer than its instructions');
    expect(() => meter(moduleOfBody([0x02, 0x40]))).toThrow('it ends in the middle');
    expect(() => meter(moduleOfBody([0x0c, 0x05]))).toThrow('it branches to a label that does not exist');
    expect(() => meter(moduleOfBody([0x05]))).toThrow('an else without an if');
  });

  test('may have a function of very many blocks', () => {
    const blocks = Array.from({ length: 20_000 }, () => [0x41, 0, 0x04, 0x40, 0x01, 0x0b]).flat();
    const run: Run = meteredProgram(moduleOfBody(blocks))('f');
    expect(run).toEqual({ result: undefined, used: 40_000, spent: false });
    expect(FULL).toBeGreaterThan(40_000n);
  });
});
