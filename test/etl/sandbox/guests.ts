import { createHash } from 'node:crypto';
import binaryen from 'assemblyscript/binaryen';
import { inspect } from '../../../etl/sandbox/inspect.ts';
import { stateNeeds } from '../../../etl/sandbox/module-store.ts';
import type { ChainOutput, ChainSpec, ChainStep, StoredModule } from '../../../etl/sandbox/sandbox.ts';

/** Assembles WebAssembly text. */
export function assemble(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  module.setFeatures(binaryen.Features.All);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

/**
 * A guest that passes every record on, and treats those specially whose value begins with one of these characters:
 * `T` trap, `L` loop, `S` recurse without end, `M` eat memory, `F` fail it, `D` drop it, `2` emit it twice, `R` route 1,
 * `B` big output (many times the record), `G` garbage (what `garbage` does to the frame), `X` tells lies about progress.
 * The input lies at 64 KiB, the output at `outputAt` (8 MiB), with half as much room. Progress is reported when `capabilities` has bit 1.
 */
export function guestText(
  options: {
    capabilities?: number;
    garbage?: string;
    init?: string;
    extra?: string;
    special?: string;
    outputAt?: number;
  } = {},
): string {
  const { capabilities = 1, garbage = '', init = '', extra = '', special = '', outputAt = 8_388_608 } = options;
  const pages = Math.ceil((outputAt * 1.5625) / 65_536);
  return `(module
  (import "millstream" "progress" (func $progress (param i32)))
  (import "millstream" "fail" (func $fail (param i32 i32 i32 i32 i32)))
  (import "millstream" "log" (func $log (param i32 i32 i32)))
  ${extra}
  (memory (export "memory") ${pages})
  (global $out (mut i32) (i32.const ${outputAt}))
  (global $count (mut i32) (i32.const 0))
  (global $seen (mut i32) (i32.const 0))
  (data (i32.const 16) "REFUSED")
  (data (i32.const 32) "this value is refused")
  (func (export "millstream_abi_v1") (result i32) (i32.const ${capabilities}))
  (func (export "millstream_alloc") (param i32) (result i32)
    (if (i32.gt_u (local.get 0) (i32.const ${outputAt - 65_536})) (then (unreachable)))
    (i32.const 65536))
  ${init}
  (func $recurse (param i32) (result i32) (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
  (func $emit (param $index i32) (param $route i32) (param $body i32) (param $length i32)
    (local $at i32)
    (local.set $at (global.get $out))
    (i32.store (local.get $at) (local.get $index))
    (i32.store16 offset=4 (local.get $at) (local.get $route))
    (i32.store16 offset=6 (local.get $at) (i32.const 0))
    (i32.store offset=8 (local.get $at) (local.get $length))
    (memory.copy (i32.add (local.get $at) (i32.const 12)) (local.get $body) (local.get $length))
    (global.set $out (i32.add (local.get $at) (i32.add (i32.const 12) (local.get $length))))
    (global.set $count (i32.add (global.get $count) (i32.const 1))))
  (func $one (param $index i32) (param $body i32) (param $length i32) (param $kind i32)
    (local $i i32)
    (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
    ${special}
    (if (i32.eq (local.get $kind) (i32.const 84)) (then (unreachable)))
    (if (i32.eq (local.get $kind) (i32.const 76)) (then (loop $l (br $l))))
    (if (i32.eq (local.get $kind) (i32.const 88)) (then (loop $l
      (call $progress (i32.const 0)) (call $progress (i32.const 1)) (br $l))))
    (if (i32.eq (local.get $kind) (i32.const 83)) (then (drop (call $recurse (i32.const 0)))))
    (if (i32.eq (local.get $kind) (i32.const 77)) (then (loop $m
      (if (i32.eq (local.tee $i (memory.grow (i32.const 16))) (i32.const -1)) (then (unreachable)))
      (memory.fill (i32.shl (local.get $i) (i32.const 16)) (i32.const 1) (i32.const 1048576))
      (br $m))))
    (if (i32.eq (local.get $kind) (i32.const 70)) (then
      (call $fail (local.get $index) (i32.const 16) (i32.const 7) (i32.const 32) (i32.const 21))))
    (if (i32.eq (local.get $kind) (i32.const 68)) (then (return)))
    (if (i32.eq (local.get $kind) (i32.const 50)) (then
      (call $emit (local.get $index) (i32.const 0) (local.get $body) (local.get $length))))
    (if (i32.eq (local.get $kind) (i32.const 82)) (then
      (call $emit (local.get $index) (i32.const 1) (local.get $body) (local.get $length)) (return)))
    (if (i32.eq (local.get $kind) (i32.const 66)) (then (loop $b
      (call $emit (local.get $index) (i32.const 0) (local.get $body) (local.get $length))
      (br_if $b (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))))
    (call $emit (local.get $index) (i32.const 0) (local.get $body) (local.get $length)))
  (func (export "millstream_process") (param $ptr i32) (param $len i32) (result i64)
    (local $at i32) (local $i i32) (local $n i32) (local $body i32) (local $length i32) (local $kind i32) (local $bad i32)
    (local.set $n (i32.load offset=4 (local.get $ptr)))
    (local.set $at (i32.add (local.get $ptr) (i32.load16_u offset=2 (local.get $ptr))))
    (global.set $out (i32.const ${outputAt + 8}))
    (global.set $count (i32.const 0))
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get $n)))
      (call $progress (local.get $i))
      (local.set $length (i32.load (local.get $at)))
      (local.set $body (i32.add (local.get $at) (i32.const 16)))
      ;; Null key, value length one byte: the value begins at byte 2. A tombstone has no value.
      (local.set $kind (i32.load8_u offset=2 (local.get $body)))
      (if (i32.eq (i32.load8_u offset=1 (local.get $body)) (i32.const 1)) (then (local.set $kind (i32.const 0))))
      (if (i32.eq (local.get $kind) (i32.const 71)) (then (local.set $bad (i32.const 1))))
      (call $one (local.get $i) (local.get $body) (local.get $length) (local.get $kind))
      (local.set $at (i32.add (local.get $body) (local.get $length)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.store (i32.const ${outputAt}) (i32.const 0x00080001))
    (i32.store (i32.const ${outputAt + 4}) (global.get $count))
    (if (local.get $bad) (then ${garbage}))
    (if (i32.eqz (global.get $count)) (then (return (i64.const 0))))
    (i64.or (i64.shl (i64.const ${outputAt}) (i64.const 32))
            (i64.extend_i32_u (i32.sub (global.get $out) (i32.const ${outputAt}))))))`;
}

export function moduleOf(bytes: Uint8Array, name = 'guest'): StoredModule {
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const { abi, form, ...needs } = inspect(bytes);
  const state = stateNeeds(needs);
  return { name, version: '1.0.0', sha256, abi, form, bytes, description: null, redacts: false, state };
}

export function stepOf(module: StoredModule, options: Partial<ChainStep> = {}): ChainStep {
  return {
    name: 'step',
    module,
    config: {},
    onError: 'dead_letter',
    memoryBytes: 32 * 1024 * 1024,
    timeMs: 50,
    initTimeMs: 1000,
    maxFailuresInARow: null,
    ...options,
  };
}

export function chainOf(steps: ChainStep[], outputs?: ChainOutput[]): ChainSpec {
  return {
    pipeline: 'orders',
    steps,
    outputs: outputs ?? [
      { name: 'default', topic: 'orders.out', rehashPartitions: null, codec: 'none' },
      { name: 'suspect', topic: 'orders.suspect', rehashPartitions: null, codec: 'none' },
    ],
    source: { topic: 'orders.in', topicId: '0123456789abcdef0123456789abcdef', partition: 3 },
  };
}
