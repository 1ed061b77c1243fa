import type { Metrics } from '../../core/base/metrics.ts';
import { DEAD_LETTER_PREFIX, fromDeadRecord } from '../../core/engine/dead-letter.ts';
import { type LogRecord, readRecords } from '../../core/engine/records.ts';
import type { LetterSummary, SampleRecord, StepCounts, TaskResult } from '../sandbox/sandbox.ts';

const MAX_TEXT_BYTES = 4096;

export interface StepStatus extends StepCounts {
  step: string;
}

export interface LastDeadLetter extends LetterSummary {
  topic: string;
  partition: number;
  at: number;
  /** The source record, as text. */
  record: SampleRecord;
}

/** What a pipeline has done since it started; only committed work is counted, so the numbers add up. */
export class PipelineCounts {
  /** Source records taken. */
  in = 0;
  /** Dead letters that were given to a step once more; they are not in `in` again, but in what the steps and outputs count. */
  replayed = 0;
  /** Records written to each output, by name. */
  readonly outputs: Record<string, number> = {};
  dead = 0;
  readonly steps: StepStatus[];
  /** Decoded only when somebody asks. */
  private lastDeadBatch: Uint8Array | null = null;
  private readonly pipeline: string;
  private readonly metrics: Metrics;

  constructor(pipeline: string, steps: readonly string[], outputs: readonly string[], metrics: Metrics) {
    this.pipeline = pipeline;
    this.metrics = metrics;
    for (const name of outputs) this.outputs[name] = 0;
    this.steps = steps.map(step => ({
      step,
      in: 0,
      emitted: 0,
      dropped: 0,
      passed: 0,
      dead: 0,
      out: 0,
      nanoseconds: 0,
    }));
  }

  get lastDeadLetter(): LastDeadLetter | null {
    const record = this.lastDeadBatch && readRecords(this.lastDeadBatch).at(-1);
    const letter = record && fromDeadRecord(record);
    if (!record || !letter) return null;
    const { name: step, code, reason, topic, partition, offset, at } = letter;
    return { step, code, reason, topic, partition, offset, at, record: asText(record) };
  }

  add(result: TaskResult, outputNames: readonly string[], replay = false): void {
    if (replay) this.replayed += result.records;
    else this.in += result.records;
    for (const output of result.outputs) {
      const name = outputNames[output.route] ?? 'default';
      this.outputs[name] = (this.outputs[name] ?? 0) + output.records;
    }
    result.steps.forEach((counts, i) => this.addStep(this.steps[i], counts));
    if (!result.dead) return;
    this.lastDeadBatch = result.dead.batch;
    for (const { step, code } of result.dead.letters) {
      this.dead++;
      const labels = { pipeline: this.pipeline, step, code };
      this.metrics.counter('millstream_dead_letters_total', 'Dead letters written', labels).add();
    }
  }

  private addStep(total: StepStatus | undefined, counts: StepCounts): void {
    if (!total) return;
    for (const key of ['in', 'emitted', 'dropped', 'passed', 'dead', 'out', 'nanoseconds'] as const) {
      total[key] += counts[key];
    }
    for (const outcome of ['emitted', 'dropped', 'passed', 'dead'] as const) {
      if (counts[outcome] === 0) continue;
      const labels = { pipeline: this.pipeline, step: total.step, outcome };
      this.metrics
        .counter('millstream_pipeline_records_total', 'Records that a step was given, by what became of them', labels)
        .add(counts[outcome]);
    }
    if (counts.in > 0) {
      const labels = { pipeline: this.pipeline, step: total.step };
      this.metrics
        .histogram('millstream_module_execution_seconds', 'Time in a step, a task', labels)
        .observe(counts.nanoseconds / 1e9);
    }
  }
}

/** As much of a record as a page wants to show; its own dead-letter headers are said elsewhere. */
function asText({ key, value, headers }: LogRecord): SampleRecord {
  const text = (bytes: Uint8Array | null): string | null =>
    bytes && Buffer.from(bytes.subarray(0, MAX_TEXT_BYTES)).toString();
  const own = headers.filter(([name]) => !name.startsWith(DEAD_LETTER_PREFIX));
  return { key: text(key), value: text(value), headers: Object.fromEntries(own.map(([name, v]) => [name, text(v)])) };
}
