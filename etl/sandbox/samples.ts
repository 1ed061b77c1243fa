import { readBody } from '../../core/engine/records.ts';
import type { Entry, FrameHelper, Table } from './frame-helper/frame-helper.ts';
import type { ChainOutput, SampleRecord, StepSample } from './sandbox.ts';
import type { FailedRecord } from './verdicts.ts';

const TEXT_BYTES = 4096;

export interface SampledInput {
  index: number;
  origin: number;
  offset: number;
  record: SampleRecord;
}

/** The first records of a step's input, at most `count`, as they are before the step runs. */
export function sampleBefore(helper: FrameHelper, input: Table, count: number): SampledInput[] {
  const sampled: SampledInput[] = [];
  for (let index = 0; index < input.count && sampled.length < count; index++) {
    const entry = helper.entry(input, index);
    // One of several records that a step before made of one: which outputs are its own could not be told.
    if (entry.origin === sampled.at(-1)?.origin) continue;
    sampled.push({ index, origin: entry.origin, offset: entry.offset, record: toSample(helper, entry) });
  }
  return sampled;
}

/** What became of them. */
export function sampleAfter(
  helper: FrameHelper,
  step: string,
  before: SampledInput[],
  outputs: Table[],
  failed: readonly FailedRecord[],
  names: readonly ChainOutput[],
): StepSample[] {
  return before.map(({ index, origin, offset, record }) => {
    const after: StepSample['after'] = [];
    for (const table of outputs) {
      for (let i = 0; i < table.count && helper.originOf(table, i) <= origin; i++) {
        const entry = helper.entry(table, i);
        if (entry.origin !== origin) continue;
        after.push({ ...toSample(helper, entry), output: names[entry.verdict]?.name ?? 'default' });
      }
    }
    const failure = failed.find(f => f.index === index);
    const error = failure ? { code: failure.code, reason: failure.reason } : null;
    return { step, offset, before: record, after, error };
  });
}

function toSample(helper: FrameHelper, entry: Entry): SampleRecord {
  const { key, value, headers } = readBody(helper.memory, entry.body, entry.body + entry.length);
  const sampled: Record<string, string | null> = {};
  for (const [name, content] of headers) sampled[name] = text(content);
  return { key: text(key), value: text(value), headers: sampled };
}

function text(bytes: Uint8Array | null): string | null {
  return bytes && Buffer.from(bytes.subarray(0, TEXT_BYTES)).toString();
}
