/** What a sync costs on this disk, without anything of ours: what a latency with fsync on cannot be below. */
import { closeSync, fdatasyncSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from '../test/servers/process.ts';

const MIB = 1024 * 1024;

/** Appends 4 KiB to a preallocated file and syncs it, again and again with 2 ms between. Milliseconds of a write and its sync. */
export async function syncs(seconds: number): Promise<Record<string, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const file = openSync(join(folder, 'file'), 'w');
  const took: number[] = [];
  try {
    writeSync(file, Buffer.alloc(64 * MIB));
    fsyncSync(file);
    const block = Buffer.alloc(4096, 1);
    const end = performance.now() + seconds * 1000;
    for (let at = 0; performance.now() < end; at = (at + block.length) % (64 * MIB)) {
      const began = performance.now();
      writeSync(file, block, 0, block.length, at);
      fdatasyncSync(file);
      took.push(performance.now() - began);
      await sleep(2);
    }
  } finally {
    closeSync(file);
    rmSync(folder, { recursive: true });
  }
  return percentiles(took);
}

/** Of milliseconds, in any order. */
export function percentiles(values: readonly number[]): Record<string, number> {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999), most_ms: at(1) };
}
