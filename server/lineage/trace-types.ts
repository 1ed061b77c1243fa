/* What `GET /api/v1/trace/TOPIC/P/OFFSET` answers: where a record comes from, and what became of it. */

export interface Place {
  topic: string;
  partition: number;
  offset: number;
}

/** Offsets [from, to). */
export interface PlaceRange {
  topic: string;
  partition: number;
  from: number;
  to: number;
}

export interface TraceStep {
  name: string;
  /** The first digits of the module's sha256. */
  sha256: string;
}

export interface LetterLine extends Place {
  id: string;
  /** The step or sink that refused the record. */
  refusedBy: string;
  code: string;
  reason: string;
}

/** One step back. */
export interface Origin {
  /** `producer`: a client wrote it, there is nothing before. `source`: read from outside by a pipeline's source. `replay`:
   * somebody had a dead letter replayed. */
  by: 'producer' | 'source' | 'pipeline' | 'sink' | 'replay';
  /** The pipeline, or pipeline and sink; null for producers. */
  name: string | null;
  /** Milliseconds since the epoch; null for producers. */
  committedAt: number | null;
  steps: TraceStep[];
  /** The record before; null at the beginning, or when only its range is known. */
  record: Place | null;
  /** What the commit accounts for. */
  range: PlaceRange | null;
  note: string | null;
}

export interface SinkLine {
  pipeline: string;
  sink: string;
  /** First offset that it has not committed; null: it has committed none. */
  position: number | null;
  /** `passed`: its committed position is behind the record. `dead`: it refused the record. */
  state: 'passed' | 'waiting' | 'dead';
  deadLetters: LetterLine[];
}

/** What one pipeline made of a record. */
export interface Fate {
  pipeline: string;
  /** `unknown`: it was processed, but what says how is not there any more; `note` says why. */
  state: 'waiting' | 'emitted' | 'dead' | 'dropped' | 'unknown';
  position: number | null;
  committedAt: number | null;
  steps: TraceStep[];
  /** Those that may have dropped it; one name: that one did. */
  droppedBy: string[];
  outputs: (Place & { next: Onward })[];
  /** Where the outputs lie when they are not known record by record. */
  among: PlaceRange[];
  deadLetters: LetterLine[];
  note: string | null;
}

/** Who reads a record. */
export interface Onward {
  pipelines: Fate[];
  sinks: SinkLine[];
}

export interface Trace extends Place {
  /** Milliseconds since the epoch. */
  timestamp: number;
  /** As text, cut at 200 characters. */
  key: string | null;
  /** Nearest first. */
  backward: Origin[];
  forward: Onward;
}
