import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { silentLogger } from '../../../core/base/logger.ts';
import { type Random, seededRandom } from '../../../core/base/random.ts';
import { type BatchHeader, readBatchHeader } from '../../../core/log/batch.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { Appended, LogConfig, LogId, LogObserver, LogStore, PartitionLog } from '../../../core/log/log.ts';
import { verifyDirectory } from '../../../core/log/verify/verify-directory.ts';
import { FaultDisk } from './fault-disk.ts';
import { batchOf, CONFIG, headersOf } from './harness.ts';
import { ManualClock } from './manual-clock.ts';

const STEPS = 50;

interface ModelBatch {
  baseOffset: number;
  nextOffset: number;
  bytes: Buffer;
}

interface ModelLog {
  id: LogId;
  /** By base offset, in order: everything appended that no crash has taken away. */
  batches: ModelBatch[];
  /** What was ever written at an offset, refused or not: a crash may bring back what nobody was promised. */
  written: ModelBatch[];
  /** All below were acknowledged or served. */
  promisedEnd: number;
  /** deleteBefore or retention has resolved for this. */
  promisedStart: number;
  /** Greatest start that anybody asked for. */
  askedStart: number;
  epoch: number;
}

/** Counts batches and offsets: cheap to check against the model. */
class CountingObserver implements LogObserver {
  next: number | null = null;
  batches = 0;
  isWhole = true;

  restore(snapshot: Uint8Array | null): void {
    this.batches = 0;
    this.next = null;
    this.isWhole = true;
    if (!snapshot) return;
    const [next, batches, isWhole] = JSON.parse(Buffer.from(snapshot).toString()) as [number | null, number, boolean];
    this.next = next;
    this.batches = batches;
    this.isWhole = isWhole;
  }

  batch(header: BatchHeader): void {
    if (this.next === null && header.baseOffset > 0) this.isWhole = false;
    if (this.next !== null && header.baseOffset !== this.next) {
      throw new Error(`the observer got ${header.baseOffset} after ${this.next}`);
    }
    this.next = header.baseOffset + header.lastOffsetDelta + 1;
    this.batches++;
  }

  snapshot(): Uint8Array {
    return Buffer.from(JSON.stringify([this.next, this.batches, this.isWhole]));
  }
}

/** Random steps on a few logs, against a model of them. */
export class LogSimulation {
  private readonly random: Random;
  private readonly clock = new ManualClock();
  private readonly models: ModelLog[];
  private readonly config: LogConfig;
  private readonly options: { preallocateBytes: number; cacheBytes: number; recoveryBytes: number };
  private readonly valueBytes: number;
  private disk: FaultDisk;
  private store: LogStore | null = null;
  private logs: PartitionLog[] = [];
  private observers: CountingObserver[] = [];
  private failure: unknown = null;
  private readonly skipsSync: (path: string) => boolean;
  /** Raised by every stop: what an earlier process promises afterwards does not count. */
  private life = 0;

  /** `skipsSync`: asked at every sync, true makes it one that does nothing. */
  constructor(seed: number, skipsSync: (path: string) => boolean = () => false) {
    this.skipsSync = skipsSync;
    this.random = seededRandom(seed);
    this.disk = new FaultDisk(this.random);
    const pick = (...values: number[]): number => values[this.below(values.length)] as number;
    this.config = { ...CONFIG, segmentBytes: pick(2_000, 6_000, 20_000), retentionBytes: pick(-1, 10_000) };
    this.options = {
      preallocateBytes: pick(0, 8_192, 65_536),
      cacheBytes: pick(0, 4_096, 1_000_000),
      recoveryBytes: pick(5_000, 1_000_000),
    };
    this.valueBytes = pick(-1, -1, 400);
    this.disk.faults.shortWrites = pick(0, 0.2);
    this.models = Array.from({ length: 1 + this.below(3) }, (_, partition) => ({
      id: { topic: 'a-topic', topicId: '00112233445566778899aabbccddeeff', partition },
      batches: [],
      written: [],
      promisedEnd: 0,
      promisedStart: 0,
      askedStart: 0,
      epoch: -1,
    }));
  }

  async run(): Promise<void> {
    await this.start(true);
    for (let step = 0; step < STEPS; step++) {
      const luck = this.random.float();
      const i = this.below(this.models.length);
      if (luck < 0.6) await this.append(i);
      else if (luck < 0.75) await this.readSomewhere(i);
      else if (luck < 0.8) await this.deleteBefore(i);
      else if (luck < 0.87) await this.retention(i);
      else if (luck < 0.9) await this.stop('close');
      else if (luck < 0.93) await this.stop('kill');
      else if (luck < 0.97) await this.stop('cut');
      else if (luck < 0.99) this.disk.leaveRoom(this.isFull ? Infinity : this.below(4_000));
      else this.clock.advance(60_000);
      if (this.failure !== null) throw this.failure;
      // What runs in the background gets on, but not to its end.
      for (let turns = this.below(4); turns > 0; turns--) await new Promise(resolve => setImmediate(resolve));
    }
    await this.stop('cut');
  }

  private async start(isFirst = false): Promise<void> {
    this.disk.skipsSync = this.skipsSync;
    this.store = await openLocalLogStore({
      directory: '/data/log',
      disk: this.disk,
      clock: this.clock,
      logger: silentLogger,
      fsync: true,
      flushIntervalMs: 1000,
      ...this.options,
    });
    this.observers = this.models.map(() => new CountingObserver());
    this.logs = [];
    for (const [i, model] of this.models.entries()) {
      this.logs.push(await this.store.open(model.id, this.config, this.observers[i]));
    }
    if (!isFirst) strictEqual((await this.store.list()).length, this.models.length);
  }

  private async append(i: number, batches = 1 + this.below(3)): Promise<void> {
    const { model, log } = this.at(i);
    const bytes = Buffer.concat(
      Array.from({ length: batches }, () =>
        batchOf(Array.from({ length: this.valueBytes >= 0 ? 1 : 1 + this.below(4) }, () => this.value())),
      ),
    );
    const headers = headersOf(bytes);
    const endOffset = log.endOffset;
    let appended: Appended | null = null;
    try {
      appended = log.append(bytes, headers);
    } catch (error) {
      if (!this.isFull || (error as { code?: unknown }).code !== 'DISK_FULL') throw error;
      strictEqual(log.endOffset, endOffset);
    }
    let at = 0;
    for (const header of headers) {
      const nextOffset = header.baseOffset + header.lastOffsetDelta + 1;
      const batch = Buffer.from(bytes.subarray(at, at + header.sizeBytes));
      const entry = { baseOffset: header.baseOffset, nextOffset, bytes: batch };
      model.written.push(entry);
      if (appended) model.batches.push(entry);
      at += header.sizeBytes;
    }
    if (!appended) return;
    const { lastOffset, durable } = appended;
    const life = this.life;
    const acked = durable.then(() => {
      if (life !== this.life) return;
      ok(log.highWatermark > lastOffset, 'acknowledged above the high watermark');
      model.promisedEnd = Math.max(model.promisedEnd, lastOffset + 1);
    });
    this.background(acked);
    if (this.random.float() < 0.3) await acked;
  }

  private async readSomewhere(i: number): Promise<void> {
    const { model, log } = this.at(i);
    const limit = log.highWatermark;
    const offset = log.startOffset + this.below(limit - log.startOffset + 1);
    const result = await log.read(offset, this.below(8_000));
    if (offset < limit) ok(result.batches.length > 0, `nothing is read at ${offset}`);
    this.expectBatches(model, offset, result.batches);
    model.promisedEnd = Math.max(model.promisedEnd, result.nextOffset);
  }

  private async deleteBefore(i: number): Promise<void> {
    const { model, log } = this.at(i);
    const offset = log.startOffset + this.below(log.highWatermark - log.startOffset + 1);
    model.askedStart = Math.max(model.askedStart, offset);
    const life = this.life;
    const done = log.deleteBefore(offset).then(() => {
      if (life === this.life) model.promisedStart = Math.max(model.promisedStart, offset);
    }, this.unlessFull);
    this.background(done);
    if (this.random.float() < 0.5) await done;
  }

  private async retention(i: number): Promise<void> {
    const { model, log } = this.at(i);
    const floor = log.highWatermark;
    model.askedStart = Math.max(model.askedStart, floor);
    const done = log.enforceRetention(this.clock.now(), floor).catch(this.unlessFull);
    this.background(done);
    if (this.random.float() < 0.5) await done;
  }

  private get isFull(): boolean {
    return this.disk.faults.capacity < Infinity;
  }

  private readonly unlessFull = (error: unknown): void => {
    if (!this.isFull) throw error;
  };

  private async stop(way: 'close' | 'kill' | 'cut'): Promise<void> {
    // There is no proper stop without room for the files that it writes.
    const how = way === 'close' && this.isFull ? 'kill' : way;
    if (how === 'close') {
      await this.store?.close();
      for (const model of this.models) model.promisedEnd = model.batches.at(-1)?.nextOffset ?? model.promisedEnd;
    }
    for (const [i, log] of this.logs.entries()) {
      // Whoever reads may have been served this far.
      const { model } = this.at(i);
      model.promisedEnd = Math.max(model.promisedEnd, log.highWatermark);
    }
    this.life++;
    // What a clean stop leaves the power can take nothing from.
    const isCut = how === 'cut' || (how === 'close' && this.random.float() < 0.5);
    this.disk = isCut ? this.disk.cut() : this.disk.kill();
    const findings = await verifyDirectory({ disk: this.disk, directory: '/data/log' });
    deepStrictEqual(
      findings.filter(finding => finding.severity === 'problem'),
      [],
    );
    await this.start();
    for (const i of this.models.keys()) await this.check(i, how);
    if (how === 'cut' && this.random.float() < 0.3) {
      // One more append, and again: leftovers of the life before lie right behind it.
      await this.append(this.below(this.models.length), 1);
      await this.stop('cut');
    }
  }

  private async check(i: number, how: 'close' | 'kill' | 'cut'): Promise<void> {
    const { model, log, observer } = this.at(i);
    const { endOffset } = log;
    const written = model.batches.at(-1)?.nextOffset ?? 0;
    ok(endOffset >= model.promisedEnd, `the log ends at ${endOffset}, ${model.promisedEnd} was promised`);
    if (how === 'close') strictEqual(endOffset, written);
    // Zeros that were on their way may have covered what was not synced.
    if (how === 'kill') ok(endOffset <= written, `the log ends at ${endOffset}, only ${written} was written`);
    strictEqual(log.highWatermark, endOffset);
    ok(log.startOffset >= model.promisedStart, `records below ${model.promisedStart} came back`);
    ok(log.startOffset <= model.askedStart, `nobody deleted the records below ${log.startOffset}`);
    if (how === 'close') strictEqual(log.leaderEpoch, Math.max(model.epoch, 0));
    else if (model.epoch >= 0) ok(log.leaderEpoch > model.epoch, `epoch ${model.epoch} begins again`);
    strictEqual(log.endOffsetForEpoch(log.leaderEpoch)?.endOffset, endOffset);
    model.epoch = log.leaderEpoch;
    const promised = model.batches.filter(batch => batch.nextOffset <= model.promisedEnd);
    model.batches = promised;
    for (let offset = log.startOffset; offset < endOffset; ) {
      const { batches, nextOffset } = await log.read(offset, 10_000);
      ok(nextOffset > offset, `nothing is read at ${offset}`);
      this.adopt(model, batches);
      this.expectBatches(model, offset, batches);
      offset = nextOffset;
    }
    strictEqual(model.batches.at(-1)?.nextOffset ?? 0, endOffset);
    // Recovery has synced what it kept.
    model.promisedEnd = endOffset;
    model.written = [];
    if (observer.next !== null) strictEqual(observer.next, endOffset);
    if (observer.isWhole) strictEqual(observer.batches, model.batches.length);
  }

  /** What is there above the promised end must have been written so at one time or another. */
  private adopt(model: ModelLog, batches: readonly Uint8Array[]): void {
    for (const batch of batches) {
      const { baseOffset } = readBatchHeader(batch);
      if (baseOffset < (model.batches.at(-1)?.nextOffset ?? 0)) continue;
      const entry = model.written.find(other => other.baseOffset === baseOffset && other.bytes.equals(batch));
      if (!entry) throw new Error(`nobody wrote the batch at ${baseOffset}`);
      model.batches.push(entry);
    }
  }

  private expectBatches(model: ModelLog, offset: number, batches: readonly Uint8Array[]): void {
    let at = model.batches.findIndex(batch => batch.nextOffset > offset);
    for (const batch of batches) {
      const expected = model.batches[at++];
      if (!expected || !expected.bytes.equals(batch)) throw new Error(`the batch at ${expected?.baseOffset} differs`);
    }
  }

  private at(i: number): { model: ModelLog; log: PartitionLog; observer: CountingObserver } {
    const [model, log, observer] = [this.models[i], this.logs[i], this.observers[i]];
    if (!model || !log || !observer) throw new Error(`there is no log ${i}`);
    return { model, log, observer };
  }

  /** What fails when nobody waits for it fails the run at its next step. */
  private background(done: Promise<void>): void {
    done.catch((error: unknown) => (this.failure ??= error));
  }

  /** In some runs all are of one size: what an earlier life wrote then lies exactly where a batch may begin. */
  private value(): string {
    const letter = String.fromCharCode(97 + this.below(26));
    return letter.repeat(this.valueBytes >= 0 ? this.valueBytes : this.below(700));
  }

  private below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }
}
