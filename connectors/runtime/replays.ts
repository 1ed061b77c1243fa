import type { LogRecord } from '../../core/engine/records.ts';
import { fromReplayRecord, type Replay } from '../../core/engine/replay.ts';

/** The records of `<pipeline>.<sink>.replay` while the sink has them: taken apart, and known again when refused. */
export class Replays {
  private readonly known = new WeakMap<LogRecord, Replay>();

  /** The record that the sink is given: what was refused, at its place in the replay topic. */
  open(record: LogRecord): LogRecord {
    const replay = fromReplayRecord(record);
    // Somebody else's record: this sink was named, so it is for this sink.
    if (!replay) return record;
    const given: LogRecord = { ...replay.given, offset: record.offset };
    this.known.set(given, replay);
    return given;
  }

  of(record: LogRecord): Replay | null {
    return this.known.get(record) ?? null;
  }
}
