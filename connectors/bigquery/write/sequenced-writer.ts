import type { PartitionWriter, Reject, RowBatch, SinkPartition, WriteResult } from '../../runtime/contract.ts';
import { SinkError } from '../../runtime/sink-error.ts';
import { WriteError } from '../api/grpc-errors.ts';
import { Appender, type Outcome, outcomeOf, partsOf, REQUEST_BYTES } from './appender.ts';
import { Flusher } from './flusher.ts';
import type { WriterSettings } from './settings.ts';
import { newSlot, type Slot } from './slots.ts';
import { formatState, type StreamState } from './stream-state.ts';

/*
 * Exactly once into a COMMITTED or BUFFERED stream. Every row has its place in the stream, so that a row that is sent
 * again is refused again. Writes go out in the order of the log, several at a time, and are acknowledged in that order.
 *
 * - The connection is lost: the same rows go to the same offsets; "already exists" means that they were there.
 * - A row is refused, by the encoder or by BigQuery: everything before it is committed first, then a state that names it,
 *   and only then the rows behind it are sent. Whoever takes over knows which rows the stream's count stands for.
 * - Anything that cannot be told for sure ends as `fenced`: the partition is acquired anew, and the finalized stream's
 *   row count tells what BigQuery has.
 */
export class SequencedWriter implements PartitionWriter {
  private readonly settings: WriterSettings;
  private readonly partition: SinkPartition;
  private readonly isBuffered: boolean;
  /** From the first write on. */
  private appender: Appender | null = null;
  private flusher: Flusher | null = null;
  /** As committed last. */
  private base: StreamState;
  /** Not acknowledged, in order. */
  private slots: Slot[] = [];
  /** States of acknowledged writes that are not committed yet, in order. */
  private uncommitted: { text: string; state: StreamState; rows: RowBatch['rows']; result: WriteResult }[] = [];
  /** Rows that the stream has for acknowledged writes. */
  private acked = 0;
  private skipLeft: number;
  private refused: ReadonlySet<number>;
  private isDriving = false;
  /** Refused rows are being taken out: nothing is sent meanwhile. */
  private isRefusing = false;
  private isTableDoubtful = false;
  private signal: AbortSignal | null = null;
  private readonly wakers = new Set<() => void>();

  constructor(settings: WriterSettings, partition: SinkPartition, state: StreamState, isBuffered: boolean) {
    this.settings = settings;
    this.partition = partition;
    this.base = state;
    this.skipLeft = state.skip;
    this.refused = new Set(state.refused);
    this.isBuffered = isBuffered;
  }

  write({ rows, next }: RowBatch, signal: AbortSignal): Promise<WriteResult> {
    if (this.signal !== signal) {
      this.signal = signal;
      signal.addEventListener('abort', () => this.failFrom(0, leaseLost()), { once: true });
    }
    if (signal.aborted) return Promise.reject(leaseLost());
    if (this.flusher?.trouble) return Promise.reject(this.flusher.trouble);
    // Acknowledged, and the acknowledgement got lost on its way.
    const done = this.uncommitted.find(each => each.rows === rows);
    if (done) return Promise.resolve(done.result);
    let slot = this.slots.find(each => each.rows === rows);
    if (!slot) this.slots.push((slot = newSlot(rows, next, REQUEST_BYTES)));
    slot.caller = Promise.withResolvers<WriteResult>();
    void this.drive();
    return slot.caller.promise;
  }

  committed(text?: string): void {
    const at = this.uncommitted.findIndex(each => each.text === text);
    if (at === -1) return;
    this.base = (this.uncommitted[at] as { state: StreamState }).state;
    this.uncommitted = this.uncommitted.slice(at + 1);
    this.flusher?.upTo(this.base.base);
    this.wake();
  }

  async close(how: 'drain' | 'abandon'): Promise<void> {
    this.failFrom(0, leaseLost());
    if (how === 'abandon' || this.slots.length > 0 || this.uncommitted.length > 0) {
      this.flusher?.close();
      return this.appender?.destroy();
    }
    this.appender?.finish();
    if (this.flusher && !(await this.flusher.finish())) return;
    await this.leave().catch(() => {});
  }

  /** Ends the stream in order, so that nobody has to ask for it: by then BigQuery may have forgotten it. */
  private async leave(): Promise<void> {
    const { stream, base } = this.base;
    if (stream === '') return;
    const count = await this.settings.storage.finalize(stream);
    if (count === base) await this.partition.intent(formatState({ ...this.base, stream: '', base: 0 }));
  }

  /** Prepares and sends, slot by slot, whatever may go. */
  private async drive(): Promise<void> {
    if (this.isDriving) return;
    this.isDriving = true;
    while (!this.isRefusing) {
      const slot = this.slots.find(each => !each.isSent);
      if (!slot?.caller) break;
      const { tries } = slot;
      try {
        const appender = (this.appender ??= await this.begin(slot));
        if (this.isTableDoubtful) await this.checkTable();
        if (!slot.filled) await this.fill(slot);
        if (slot.tries !== tries || !slot.caller || !slot.filled) continue;
        // Another schema needs another connection, and the answers of this one first.
        if (!appender.fits(slot.filled.encoder) && !appender.isIdle) await this.changed();
        else void this.send(slot, appender);
      } catch (thrown) {
        if (slot.tries === tries) this.failFrom(this.slots.indexOf(slot), asError(thrown));
      }
    }
    this.isDriving = false;
  }

  /** Makes the stream, committed before the first append. Nothing was written since the partition was acquired. */
  private async begin(slot: Slot): Promise<Appender> {
    const { settings, base } = this;
    const { id } = await settings.shaper.table(slot.rows);
    // A table that was made anew has none of the rows.
    const isSame = base.table === id;
    if (!isSame) {
      this.skipLeft = 0;
      this.refused = new Set();
    }
    const stream = await settings.storage.create(this.isBuffered ? 'BUFFERED' : 'COMMITTED');
    const skip = isSame ? base.skip : 0;
    const state: StreamState = { ...base, stream, base: 0, skip, table: id, refused: isSame ? base.refused : [] };
    await this.partition.intent(formatState(state));
    this.base = state;
    this.flusher = this.isBuffered ? new Flusher(settings.storage, stream, settings.clock) : null;
    const appender = new Appender(settings.storage, stream, settings.traceId);
    appender.schemaChanged = () => void settings.guide.fresh().catch(() => {});
    return appender;
  }

  private async checkTable(): Promise<void> {
    const { id } = await this.settings.guide.fresh();
    if (id !== this.base.table) throw new SinkError('fenced', 'TABLE_REPLACED', 'the table was made anew');
    this.isTableDoubtful = false;
  }

  /** Encodes what is to be sent; refused rows are made known first. */
  private async fill(slot: Slot): Promise<void> {
    const { shaper, encoders } = this.settings;
    const skipped = (slot.skipped ??= this.passOver(slot));
    const { tries } = slot;
    const places = slot.rows.map((_, i) => i).filter(i => !skipped.has(i));
    const shaped = await shaper.shape(
      places.map(i => slot.rows[i] as (typeof slot.rows)[number]),
      this.partition.partition === 0,
      encoders.encodeFor,
    );
    const placed = shaped.places.map(i => places[i] as number);
    const rejected = shaped.rejected.map(reject => ({ ...reject, row: places[reject.row] as number }));
    // What was refused once stays refused: rows behind it may have taken its place.
    const offsetAt = (i: number): number => (slot.rows[i] as { record: { offset: number } }).record.offset;
    const keep = placed.map(i => !this.refused.has(offsetAt(i)));
    for (const [i, place] of placed.entries()) if (!keep[i]) rejected.push(before(place));
    if (rejected.length > 0)
      await this.announce(
        slot,
        rejected.map(({ row }) => offsetAt(row)),
        tries,
      );
    if (slot.tries !== tries) return;
    slot.filled = {
      table: shaped.table,
      encoder: encoders.of(shaped.table),
      made: shaped.made.filter((_, i) => keep[i]),
      places: placed.filter((_, i) => keep[i]),
      rejected,
    };
  }

  /** The first rows that BigQuery has from earlier streams; refused ones are not among them. */
  private passOver(slot: Slot): ReadonlySet<number> {
    const skipped = new Set<number>();
    for (let i = 0; i < slot.rows.length && this.skipLeft > 0; i++) {
      if (this.refused.has((slot.rows[i] as { record: { offset: number } }).record.offset)) continue;
      skipped.add(i);
      this.skipLeft--;
    }
    slot.skipLeft = this.skipLeft;
    return skipped;
  }

  /** Commits which rows are refused, once everything before the slot is committed. */
  private async announce(slot: Slot, offsets: readonly number[], tries: number): Promise<void> {
    if (offsets.every(offset => this.refused.has(offset))) return;
    while (this.slots[0] !== slot || this.uncommitted.length > 0) {
      if (slot.tries !== tries) return;
      await this.changed();
    }
    const refused = new Set([...this.refused, ...offsets].filter(offset => offset >= this.base.next));
    const state = { ...this.base, refused: [...refused].toSorted((a, b) => a - b) };
    await this.partition.intent(formatState(state));
    this.base = state;
    this.refused = refused;
  }

  private async send(slot: Slot, appender: Appender): Promise<void> {
    const { encoder, made } = slot.filled as NonNullable<Slot['filled']>;
    const sent = this.slots.filter(each => each.isSent);
    slot.from = this.acked + sent.reduce((sum, each) => sum + (each.filled?.made.length ?? 0), 0);
    slot.isSent = true;
    const { tries } = slot;
    const parts = partsOf(made, slot.mostBytes);
    const outcomes = parts.map(([from, to]) =>
      outcomeOf(appender.send(made.slice(from, to), encoder, slot.from + from)),
    );
    for (const outcome of outcomes) void outcome.then(() => this.wake());
    let taken = 0;
    for (const [i, outcome] of outcomes.entries()) {
      const { error, refused } = await outcome;
      if (slot.tries !== tries) return;
      if (!error || isThere(error)) taken += 1;
      else {
        await this.refuse(slot, parts[i] as [number, number], { error, refused }, taken > 0);
        return;
      }
    }
    slot.isDone = true;
    this.settle();
  }

  /** Acknowledges what is done, in order. */
  private settle(): void {
    for (let slot = this.slots[0]; slot?.isDone; slot = this.slots[0]) {
      this.slots.shift();
      const { made, rejected } = slot.filled as NonNullable<Slot['filled']>;
      this.acked += made.length;
      const { stream, table } = this.base;
      const refused = [...this.refused].filter(offset => offset >= slot.next).toSorted((a, b) => a - b);
      const state = { stream, table, base: this.acked, skip: slot.skipLeft, next: slot.next, refused };
      const text = formatState(state);
      const result = rejected.length > 0 ? { rejected, state: text } : { state: text };
      this.uncommitted.push({ text, state, rows: slot.rows, result });
      slot.caller?.resolve(result);
    }
    this.wake();
    void this.drive();
  }

  /** BigQuery did not take a part of the slot. */
  private async refuse(slot: Slot, [from]: [number, number], outcome: Outcome, isPartlyTaken: boolean): Promise<void> {
    const error = outcome.error as Error;
    const at = this.slots.indexOf(slot);
    const storage = error instanceof WriteError ? error.storage : null;
    const isDoubtful = this.slots.some(each => each.inDoubt);
    if (storage === 'TABLE_NOT_FOUND' || (error instanceof WriteError && error.grpcCode === 5))
      this.isTableDoubtful = true;
    const isAboutRows =
      outcome.refused.length > 0 ||
      storage === 'SCHEMA_MISMATCH_EXTRA_FIELDS' ||
      (error instanceof SinkError && error.sinkKind === 'too-large');
    if (!isAboutRows) {
      const lost = error instanceof WriteError && (error.grpcCode === 11 || storage === 'OFFSET_OUT_OF_RANGE');
      const why = lost ? new SinkError('fenced', 'OFFSET_OUT_OF_RANGE', error.message, { cause: error }) : error;
      return this.failFrom(at, why, true);
    }
    // Other rows at these offsets are safe only when no request can come through late.
    if (isDoubtful) return this.failFrom(0, unsure(error), true);
    this.isRefusing = true;
    this.rewind(at);
    try {
      while (this.appender?.isIdle === false) await this.changed();
      if (outcome.refused.length > 0) await this.leaveOut(slot, from, outcome.refused);
      else if (storage === 'SCHEMA_MISMATCH_EXTRA_FIELDS') await this.schemaMismatch(slot, error);
      else if (isPartlyTaken) throw unsure(error);
      else slot.mostBytes = Math.max(1, slot.mostBytes >> 1);
    } catch (thrown) {
      this.failFrom(this.slots.indexOf(slot), asError(thrown));
    }
    this.isRefusing = false;
    void this.drive();
  }

  private async leaveOut(slot: Slot, from: number, refused: Outcome['refused']): Promise<void> {
    const filled = slot.filled as NonNullable<Slot['filled']>;
    const reasons = new Map(refused.map(({ index, message }) => [from + index, message]));
    const rejected: Reject[] = [];
    for (const [i, reason] of reasons) rejected.push({ row: filled.places[i] as number, code: 'INVALID', reason });
    const offsets = rejected.map(({ row }) => (slot.rows[row] as { record: { offset: number } }).record.offset);
    await this.announce(slot, offsets, slot.tries);
    filled.made = filled.made.filter((_, i) => !reasons.has(i));
    filled.places = filled.places.filter((_, i) => !reasons.has(i));
    filled.rejected = [...filled.rejected, ...rejected];
  }

  /** The rows have a column that BigQuery's write backend does not know: not yet, or not any more. */
  private async schemaMismatch(slot: Slot, error: Error): Promise<void> {
    const before = slot.filled?.table;
    if ((await this.settings.guide.fresh()) === before) throw error;
    for (const each of this.slots) if (!each.isSent) each.filled = null;
  }

  /** From this slot on everything has to be sent anew; answers to what was sent do not count. */
  private rewind(at: number): void {
    for (const slot of this.slots.slice(at)) {
      slot.tries++;
      slot.isSent = false;
      slot.isDone = false;
    }
  }

  /** These slots wait until the runtime comes with them again. */
  private failFrom(at: number, error: Error, isSendError = false): void {
    const failed = this.slots.slice(Math.max(0, at));
    if (isSendError || this.signal?.aborted) {
      for (const slot of failed) slot.inDoubt ||= slot.isSent && !slot.isDone;
      this.appender?.destroy();
    }
    this.rewind(Math.max(0, at));
    for (const slot of failed) {
      slot.caller?.reject(error);
      slot.caller = null;
    }
    this.wake();
  }

  private changed(): Promise<void> {
    return new Promise(resolve => this.wakers.add(resolve));
  }

  private wake(): void {
    for (const waker of this.wakers) waker();
    this.wakers.clear();
  }
}

const isThere = (error: Error): boolean =>
  error instanceof WriteError && (error.grpcCode === 6 || error.storage === 'OFFSET_ALREADY_EXISTS');

const leaseLost = (): SinkError => new SinkError('fenced', 'LEASE_LOST', 'the partition went to another owner');

const unsure = (cause: Error): SinkError =>
  new SinkError('fenced', 'UNSURE', `which rows BigQuery has must be counted: ${cause.message}`, { cause });

const before = (row: number): Reject => ({
  row,
  code: 'INVALID',
  reason: 'BigQuery or the table as it was then refused this row before',
});

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));
