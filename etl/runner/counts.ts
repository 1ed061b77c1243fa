import type { Metrics } from '../../core/base/metrics.ts';
import type { LetterSummary, StepCounts, TaskResult } from '../sandbox/sandbox.ts';

export interface StepStatus extends StepCounts {
  step: string;
}

export interface LastDeadLetter extends LetterSummary {
  topic: string;
  partition: number;
  at: number;
}

/** What a pipeline has done since it started; only committed work is counted, so the numbers add up. */
export class PipelineCounts {
  /** Source records taken. */
  in = 0;
  /** Records written to each output, by name. */
  readonly outputs: Record<string, number> = {};
  dead = 0;
  readonly steps: StepStatus[];
  lastDeadLetter: LastDeadLetter | null = null;
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

  add(
    result: TaskResult,
    outputNames: readonly string[],
    where: { topic: string; partition: number; at: number },
  ): void {
    this.in += result.records;
    for (const output of result.outputs) {
      const name = outputNames[output.route] ?? 'default';
      this.outputs[name] = (this.outputs[name] ?? 0) + output.records;
    }
    result.steps.forEach((counts, i) => this.addStep(this.steps[i], counts));
    for (const letter of result.dead?.letters ?? []) {
      this.dead++;
      this.lastDeadLetter = { ...letter, ...where };
      const labels = { pipeline: this.pipeline, step: letter.step, code: letter.code };
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
