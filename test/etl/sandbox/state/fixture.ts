import { fileURLToPath } from 'node:url';
import { readRecords } from '../../../../core/engine/records.ts';
import type { ChainSpec, Lane, LaneState, StoredModule, TaskResult } from '../../../../etl/sandbox/sandbox.ts';
import { compileModule } from '../../../../sdk/assemblyscript/compile.ts';
import { chainOf, moduleOf, stepOf } from '../guests.ts';
import { outputOf, TIME, taskOf, valuesOf } from '../harness.ts';
import { encodeBatch } from '../../../../core/engine/records.ts';

let made: Promise<StoredModule> | null = null;

/** The module of keeper/, which does to its state what records tell it. */
export function keeper(): Promise<StoredModule> {
  made ??= compileModule(fileURLToPath(new URL('./keeper', import.meta.url))).then(bytes => ({
    ...moduleOf(bytes, 'keeper'),
    state: { version: 1, timers: true },
  }));
  return made;
}

export async function keeperChain(more: Parameters<typeof stepOf>[1] = {}): Promise<ChainSpec> {
  return chainOf([stepOf(await keeper(), { name: 'keep', ...more })]);
}

/** What a lane has answered so far, as if all of it were committed. */
export class Committed {
  readonly batches: Uint8Array[] = [];
  readonly outputs: string[] = [];
  readonly letters: string[] = [];
  entries: number | null = null;

  take(result: TaskResult): TaskResult {
    this.batches.push(...(result.state?.batches ?? []).map(batch => new Uint8Array(batch)));
    this.entries = result.state?.entries ?? null;
    this.outputs.push(...valuesOf(outputOf(result)).map(String));
    for (const { code, offset } of result.dead?.letters ?? []) this.letters.push(`${offset} ${code}`);
    return result;
  }

  get state(): LaneState {
    return { batches: this.batches, partitions: 1, entries: this.entries };
  }

  /** The changelog as readable text, by key; what was deleted is left out. */
  get changelog(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const { key, value } of this.batches.flatMap(batch => readRecords(batch))) {
      const name = Buffer.from(key ?? []).toString('latin1');
      if (value === null) delete found[name];
      else found[name] = Buffer.from(value).toString('latin1');
    }
    return found;
  }
}

/** Runs values in tasks of so many records, one after the other in time. */
export async function runAll(lane: Lane, values: string[], size: number, to: Committed, from = 0): Promise<void> {
  for (let at = 0; at < values.length; at += size) {
    const records = values.slice(at, at + size).map((value, i): [number, string] => [from + at + i, value]);
    to.take(await lane.run(taskOf([timed(records, from + at)])));
  }
}

/** Records at given times behind the base time. */
export function timed(records: [at: number, value: string | null][], baseOffset = 0): Uint8Array {
  return encodeBatch(
    records.map(([at, value]) => ({
      timestamp: TIME + at,
      key: null,
      value: value === null ? null : Buffer.from(value),
    })),
    { baseOffset },
  );
}
