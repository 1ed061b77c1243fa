import { asMillstreamError } from '../../core/base/errors.ts';
import { readOrigins } from '../../core/engine/lineage.ts';
import { encodeBatch, type LogRecord, type NewRecord, readRecords } from '../../core/engine/records.ts';
import type { ChainStep, Lane, Sandbox, StoredModule } from '../../etl/sandbox/sandbox.ts';

/* One module alone in the real sandbox, with no pipeline around it: what cases, benches and the development loop use. */

/** The limits of a step that says nothing about them. */
const MEMORY_BYTES = 64 * 1024 * 1024;
const TIME_MS = 5000;
const INIT_TIME_MS = 10_000;

export interface ModuleSetup {
  module: StoredModule;
  config: unknown;
  outputs: readonly string[];
  /** Stacks of traps go to the sandbox's log. */
  traces?: boolean;
  secrets?: readonly string[];
}

/** What became of one record. */
export interface RecordResult {
  emitted: { output: string; record: LogRecord }[];
  failed: { code: string; reason: string } | null;
}

export function openModule(sandbox: Sandbox, setup: ModuleSetup): Lane {
  const step: ChainStep = {
    name: setup.module.name,
    module: setup.module,
    config: setup.config,
    onError: 'dead_letter',
    memoryBytes: MEMORY_BYTES,
    timeMs: TIME_MS,
    initTimeMs: INIT_TIME_MS,
    maxFailuresInARow: null,
    traces: setup.traces ?? false,
    secrets: setup.secrets ?? [],
  };
  return sandbox.openLane({
    pipeline: 'module',
    steps: [step],
    outputs: setup.outputs.map(name => ({ name, topic: name, rehashPartitions: null, codec: 'none' })),
    source: { topic: 'module.in', topicId: '0'.repeat(32), partition: 0 },
  });
}

/** Runs the records in batches of so many, in order; and how long the module took for all of them. */
export async function runRecords(
  lane: Lane,
  outputs: readonly string[],
  records: readonly NewRecord[],
  batchSize: number,
): Promise<{ results: RecordResult[]; nanoseconds: number }> {
  const results: RecordResult[] = [];
  let nanoseconds = 0;
  for (let from = 0; from < records.length; from += batchSize) {
    const batch = records.slice(from, from + batchSize);
    const done = await lane.run({ batches: new Uint8Array(encodeBatch(batch)), from: 0, samples: 0 });
    nanoseconds += done.steps[0]?.nanoseconds ?? 0;
    const part: RecordResult[] = batch.map(() => ({ emitted: [], failed: null }));
    for (const { route, batch: bytes, origins } of done.outputs.toSorted((a, b) => a.route - b.route)) {
      const emitted = readRecords(bytes);
      const sources = origins && readOrigins(origins, emitted.length);
      emitted.forEach((record, i) => {
        // A batch of one needs no map.
        part[batch.length === 1 ? 0 : (sources?.[i] ?? 0)]?.emitted.push({ output: outputs[route] ?? '', record });
      });
    }
    for (const { offset, code, reason } of done.dead?.letters ?? []) {
      const result = part[offset];
      if (result) result.failed = { code, reason };
    }
    results.push(...part);
  }
  return { results, nanoseconds };
}

/** Why the module does not start with this configuration; null: it does. */
export async function refusalOf(sandbox: Sandbox, setup: ModuleSetup): Promise<string | null> {
  const lane = openModule(sandbox, setup);
  try {
    await runRecords(lane, setup.outputs, [{ key: null, value: null, headers: [], timestamp: 0 }], 1);
    return null;
  } catch (error) {
    return asMillstreamError(error).message;
  } finally {
    await lane.close();
  }
}
