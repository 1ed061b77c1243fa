import type { LogRecord } from '../../core/engine/records.ts';
import { fromReplayRecord, type Replay } from '../../core/engine/replay.ts';
import type { Row } from './contract.ts';

export type Opened = Pick<Row, 'record' | 'origin'>;

/** The records of `<pipeline>.<sink>.replay` while the sink has them: taken apart, and known again when refused. */
export class Replays {
  private readonly known = new WeakMap<LogRecord, Replay>();

  /** What the sink is given: the record that was refused, at its place in the replay topic. */
  open(record: LogRecord): Opened {
    const replay = fromReplayRecord(record);
    // Somebody else's record: this sink was named, so it is for this sink.
    if (!replay) return { record };
    const given: LogRecord = { ...replay.given, offset: record.offset };
    this.known.set(given, replay);
    const { topic, partition, offset } = replay.letter;
    return { record: given, origin: { topic, partition, offset } };
  }

  of(record: LogRecord): Replay | null {
    return this.known.get(record) ?? null;
  }
}
