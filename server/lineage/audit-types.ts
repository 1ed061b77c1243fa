import type { Totals } from '../../etl/runner/totals.ts';

/* What `GET /api/v1/pipelines/NAME/audit` answers. */

export interface AuditLine {
  /** What was checked, and of what: a topic and partition, a step, a sink. */
  check: string;
  of: string;
  /** `unknown`: it cannot be checked, `note` says why; that is no failure. */
  result: 'ok' | 'differs' | 'unknown';
  expected: number | null;
  found: number | null;
  note: string | null;
}

export interface AuditCounts
  extends Pick<Totals, 'in' | 'emitted' | 'dropped' | 'passed' | 'dead' | 'unsorted' | 'letters'> {
  /** Source partitions, or `replays`: those are counted apart. */
  of: string;
  outputs: number;
}

export interface Audit {
  pipeline: string;
  /** Nothing differs. */
  ok: boolean;
  /** Milliseconds since the epoch: everything committed by then was looked at. */
  at: number;
  counts: AuditCounts[];
  lines: AuditLine[];
}
