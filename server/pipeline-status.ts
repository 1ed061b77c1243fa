import type { LastDeadLetter, StepStatus } from '../etl/runner/counts.ts';
import type { ShadowReport } from '../etl/runner/shadow.ts';
import type { TapEvent } from '../etl/runner/tap.ts';

/** What `GET /api/v1/pipelines` says of one pipeline. Counts are of this process's life and add up:
 * `in` of a step = emitted + dropped + passed + dead. `total` counts from when the pipeline began, earlier runs too. */
export interface PipelineStatus {
  name: string;
  /** `degraded`: it runs, but a step, its source or a sink has trouble; `paused`: an output has reached its `max_backlog`.
   * `reason` says which. */
  state: 'starting' | 'running' | 'degraded' | 'paused' | 'stopped' | 'failed';
  /** Why it is not running, in one sentence. */
  reason: string | null;
  source: {
    topic: string;
    total: number;
    /** The connector that fills the topic; null: producers do. */
    connector: { type: string; state: string; reason: string | null; read: number; rejected: number } | null;
  };
  /** Records taken from the source topic, and how many wait there. */
  records: number;
  lag: number;
  steps: (StepStatus & { module: string; version: string; sha256: string; shadow: ShadowReport | null })[];
  outputs: { name: string; topic: string; records: number; total: number }[];
  sinks: SinkStatusLine[];
  deadLetters: {
    topic: string;
    records: number;
    total: number;
    last: LastDeadLetter | null;
    drain: SinkStatusLine | null;
  };
  /** The newest sample of each step. */
  samples: TapEvent[];
}

export interface SinkStatusLine {
  name: string;
  type: string;
  from: string;
  state: string;
  reason: string | null;
  in: number;
  written: number;
  filtered: number;
  rejected: number;
  retries: number;
  lag: number;
}
