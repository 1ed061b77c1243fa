import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../../core/base/logger.ts';
import { type Random, seededRandom } from '../../../core/base/random.ts';
import { ProducerState } from '../../../core/broker/producer-state.ts';
import { CODECS, readBatchHeader } from '../../../core/log/batch.ts';
import type { CompactionSettings } from '../../../core/log/compaction/select.ts';
import { openLocalLogStore } from '../../../core/log/local-log-store.ts';
import type { LogStore, PartitionLog } from '../../../core/log/log.ts';
import { encodeMarker, readMarker } from '../../../core/log/marker.ts';
import { encodeBatch, readRecords } from '../../../core/log/record.ts';
import { verifyDirectory } from '../../../core/log/verify/verify-directory.ts';
import { Model, type ModelBatch, type ModelRecord } from './compaction/model.ts';
import { FaultDisk } from './fault-disk.ts';
import { CONFIG, headersOf, ID } from './harness.ts';
import { ManualClock } from './manual-clock.ts';

/*
 * A compacted log that loses power at any time: plain, idempotent and transactional producers, tombstones, all codecs,
 * compactions that are under way when it happens. A model that knows nothing of compaction holds after every start, and
 * beside running compactions: the newest value of each key is there; what has been missing once never comes back; when
 * a record is missing so is everything older of its key; what was aborted is delivered to no reader of committed
 * records, and what was committed is; offsets, batches and sequences are what they were. `npm run soak -- compaction`
 * runs 1,000 seeds.
 */
const SEEDS = Number(process.env['SOAK_COUNT'] ?? 50);
const FIRST_SEED = Number(process.env['SEED'] ?? 0);
const STEPS = 60;

class Simulation {
  private readonly random: Random;
  private readonly clock = new ManualClock();
  private readonly model = new Model();
  private readonly settings: CompactionSettings;
  private readonly segmentBytes: number;
  private readonly keys: number;
  private readonly cacheBytes: number;
  private readonly compactionBytes: number;
  private readonly sequences = new Map<number, number>();
  private disk: FaultDisk;
  private producers!: ProducerState;
  private store!: LogStore;
  private log!: PartitionLog;
  private compaction: Promise<unknown> | null = null;
  private life = 0;
  /** A compacted segment has begun to take its originals' place since the last start. */
  private swapping = false;
  compactions = 0;
  cutsInside = 0;
  /** Cuts that left a swap to be completed. */
  swapsCut = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.disk = new FaultDisk(this.random);
    const pick = (...values: number[]): number => values[this.below(values.length)] as number;
    this.segmentBytes = pick(600, 1_500, 4_000);
    this.keys = pick(3, 12, 60);
    this.cacheBytes = pick(0, 2_000, 1_000_000);
    this.compactionBytes = pick(1, 1_000_000);
    this.settings = {
      minCleanableDirtyRatio: pick(0, 0, 0.5),
      minCompactionLagMs: pick(0, 0, 1_000),
      maxCompactionLagMs: Infinity,
      deleteRetentionMs: pick(0, 5_000, 1_000_000),
    };
  }

  async run(): Promise<void> {
    await this.start();
    for (let step = 0; step < STEPS; step++) {
      const luck = this.random.float();
      if (luck < 0.45) await this.appendSome();
      else if (luck < 0.6) await this.endTransaction();
      else if (luck < 0.7) await this.compact();
      else if (luck < 0.78) await this.cutWithin();
      else if (luck < 0.84) await this.check();
      else if (luck < 0.88) this.clock.advance(this.below(4_000));
      else if (luck < 0.89) await this.stop('close');
      else if (luck < 0.92) await this.stop('kill');
      else if (luck < 0.97) await this.stop('cut');
      else await this.compactOnFullDisk();
      for (let turns = this.below(12); turns > 0; turns--) await new Promise(resolve => setImmediate(resolve));
    }
    await this.stop('cut');
    await this.stop('close');
  }

  private async start(): Promise<void> {
    this.swapping = false;
    const { disk } = this;
    const rename = disk.rename.bind(disk);
    disk.rename = async (from, to) => {
      await rename(from, to);
      if (to.endsWith('.swap')) this.swapping = true;
    };
    this.producers = new ProducerState(this.clock);
    this.store = await openLocalLogStore({
      directory: '/data/log',
      disk: this.disk,
      clock: this.clock,
      logger: silentLogger,
      fsync: true,
      flushIntervalMs: 1000,
      cacheBytes: this.cacheBytes,
      compactionBytes: this.compactionBytes,
      preallocateBytes: 0,
      recoveryBytes: 20_000,
    });
    this.log = await this.store.open(ID, { ...CONFIG, segmentBytes: this.segmentBytes }, this.producers);
  }

  private async appendSome(): Promise<void> {
    for (let batches = this.below(6); batches >= 0; batches--) await this.append();
  }

  private async append(): Promise<void> {
    const luck = this.random.float();
    const producerId = luck < 0.4 ? -1 : luck < 0.8 ? 1 : 2 + this.below(2);
    const isTransactional = producerId > 1;
    const count = 1 + this.below(4);
    const baseSequence = producerId < 0 ? -1 : (this.sequences.get(producerId) ?? 0);
    if (producerId > 0) this.sequences.set(producerId, baseSequence + count);
    const records = Array.from({ length: count }, () => ({
      key: `k${this.below(this.keys)}`,
      value: this.random.float() < 0.2 ? null : String.fromCharCode(97 + this.below(26)).repeat(this.below(120)),
      timestamp: this.clock.now() - this.below(100),
    }));
    const bytes = encodeBatch(
      records.map(({ key, value, timestamp }) => ({
        timestamp,
        key: Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
      })),
      {
        codec: CODECS[this.below(CODECS.length)] ?? 'none',
        producerId,
        producerEpoch: producerId < 0 ? -1 : 0,
        baseSequence,
        attributes: isTransactional ? 0x10 : 0,
      },
    );
    await this.write(bytes, { producerId, isTransactional, marker: null, records });
  }

  private async endTransaction(): Promise<void> {
    // Most of all the one that holds the others up.
    const fates = this.model.fates();
    const oldest = this.model.batches.find(batch => fates.get(batch) === 'open');
    const producerId = oldest && this.random.float() < 0.8 ? oldest.producerId : 2 + this.below(2);
    const marker = this.random.float() < 0.5 ? 'commit' : 'abort';
    const timestamp = this.clock.now();
    const bytes = encodeMarker({ kind: marker, coordinatorEpoch: 0, producerId, producerEpoch: 0, timestamp });
    await this.write(bytes, { producerId, isTransactional: true, marker, records: [] });
  }

  private async write(
    bytes: Uint8Array,
    batch: Omit<ModelBatch, 'baseOffset' | 'lastOffset' | 'records'> & { records: Omit<ModelRecord, 'offset'>[] },
  ): Promise<void> {
    const { baseOffset, lastOffset, durable } = this.log.append(bytes, headersOf(bytes));
    const records = batch.records.map((record, i) => ({ ...record, offset: baseOffset + i }));
    this.model.batches.push({ ...batch, baseOffset, lastOffset, records });
    const life = this.life;
    const acked = durable.then(() => {
      if (life === this.life) this.model.promisedEnd = Math.max(this.model.promisedEnd, lastOffset + 1);
    });
    if (this.random.float() < 0.5) await acked;
  }

  private async compact(): Promise<void> {
    const life = this.life;
    if (!this.compaction) {
      this.compaction = this.log.compact(this.settings).then(result => {
        if (life !== this.life) return;
        if (result) this.compactions++;
        this.compaction = null;
      });
    }
    if (this.random.float() < 0.3) await this.compaction;
  }

  /** Somewhere in a compaction the power goes; more often than chance would have it, right where files change hands. */
  private async cutWithin(): Promise<void> {
    await this.compaction;
    this.swapping = false;
    void this.compact();
    const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
    const atSwap = this.random.float() < 0.7;
    for (let turns = atSwap ? 1_000 : this.below(200); turns > 0 && this.compaction; turns--) {
      if (atSwap && this.swapping) break;
      await turn();
    }
    if (atSwap) for (let turns = this.below(20); turns > 0; turns--) await turn();
    await this.stop(this.random.float() < 0.8 ? 'cut' : 'kill');
  }

  private async compactOnFullDisk(): Promise<void> {
    await this.compaction;
    this.disk.leaveRoom(this.below(3_000));
    await this.log.compact(this.settings).catch((error: unknown) => {
      if (!/ENOSPC|no space/.test(String(error))) throw error;
    });
    this.disk.leaveRoom(Infinity);
    await this.check();
  }

  private async stop(how: 'close' | 'kill' | 'cut'): Promise<void> {
    const { model } = this;
    if (how === 'close') {
      const closed = this.store.close();
      await closed;
      model.promisedEnd = model.end;
    }
    model.promisedEnd = Math.max(model.promisedEnd, this.log.highWatermark);
    if (this.compaction) this.cutsInside++;
    this.compaction = null;
    this.life++;
    this.disk = how === 'cut' ? this.disk.cut() : this.disk.kill();
    if ((await this.disk.list(`/data/log/${ID.topic}-0`)).some(name => name.endsWith('.swap'))) this.swapsCut++;
    const findings = await verifyDirectory({ disk: this.disk, directory: '/data/log' });
    expect(findings.filter(finding => finding.severity === 'problem')).toEqual([]);
    await this.start();
    const end = this.log.endOffset;
    expect(end).toBeGreaterThanOrEqual(model.promisedEnd);
    expect(end).toBeLessThanOrEqual(model.end);
    model.batches = model.batches.filter(batch => batch.lastOffset < end);
    expect(model.end).toBe(end);
    model.promisedEnd = end;
    this.sequences.clear();
    for (const { producerId, records, marker } of model.batches) {
      if (producerId > 0 && !marker) {
        this.sequences.set(producerId, (this.sequences.get(producerId) ?? 0) + records.length);
      }
    }
    await this.check();
    for (const [producerId, next] of this.sequences) {
      const newest = model.batches.findLast(batch => batch.producerId === producerId && !batch.marker);
      const known = this.producers.get(producerId)?.batches.at(-1);
      expect(known).toMatchObject({ lastSequence: next - 1, lastOffset: newest?.lastOffset });
    }
  }

  /** Reads all of it, as a reader that sees everything and as one of committed records. */
  private async check(): Promise<void> {
    const isQuiet = this.compaction === null;
    const { model, log } = this;
    const end = log.highWatermark;
    const stable = log.lastStableOffset;
    const found = new Map<number, ModelRecord>();
    const delivered = new Set<number>();
    const aborted = log.abortedWithin(0, stable).toSorted((a, b) => a.firstOffset - b.firstOffset);
    const skipped = new Set<number>();
    const batches = new Map(model.batches.map(batch => [batch.baseOffset, batch]));
    let next = log.startOffset;
    while (next < end) {
      const read = await log.read(next, this.below(3_000));
      expect(read.batches.length).toBeGreaterThan(0);
      for (const bytes of read.batches) {
        const header = readBatchHeader(bytes);
        const batch = batches.get(header.baseOffset);
        expect(header.baseOffset).toBeGreaterThanOrEqual(next);
        expect(batch).toMatchObject({
          producerId: header.producerId,
          lastOffset: header.baseOffset + header.lastOffsetDelta,
        });
        next = header.baseOffset + header.lastOffsetDelta + 1;
        // As the Java consumer does it.
        while (aborted[0] && aborted[0].firstOffset < next) skipped.add(aborted.shift()?.producerId ?? -1);
        const marker = readMarker(bytes, 0, header);
        expect(marker?.kind ?? null).toBe(header.recordCount === 0 ? null : (batch?.marker ?? null));
        if (marker) {
          if (marker.kind === 'abort') skipped.delete(header.producerId);
          continue;
        }
        for (const { offset, key, value, timestamp } of readRecords(bytes)) {
          const text = (part: Uint8Array | null): string | null =>
            part === null ? null : Buffer.from(part).toString();
          found.set(offset, { offset, key: text(key) ?? '', value: text(value), timestamp });
          const isSkipped = batch?.isTransactional === true && skipped.has(header.producerId);
          if (!isSkipped && next <= stable) delivered.add(offset);
        }
      }
    }
    this.compare(found, delivered, end, stable, isQuiet && this.compaction === null);
  }

  private compare(
    found: Map<number, ModelRecord>,
    delivered: Set<number>,
    end: number,
    stable: number,
    isQuiet: boolean,
  ): void {
    const { model } = this;
    const fates = model.fates();
    const newest = new Map<string, { record: ModelRecord; isMissing: boolean }>();
    for (const batch of model.batches.toReversed()) {
      if (batch.marker || batch.lastOffset >= end) continue;
      const fate = fates.get(batch);
      for (const record of batch.records.toReversed()) {
        const { offset, key, value } = record;
        const there = found.get(offset);
        if (there) {
          expect(there).toEqual(record);
          if (model.gone.has(offset)) throw new Error(`${key} at ${offset} came back`);
        } else model.gone.add(offset);
        if (fate === 'open') {
          if (!there) throw new Error(`${key} at ${offset} of an open transaction is missing`);
          continue;
        }
        if (fate === 'aborted') {
          if (delivered.has(offset)) throw new Error(`${key} at ${offset} was aborted, but is delivered`);
          continue;
        }
        if (there && offset < stable && batch.lastOffset < stable && !delivered.has(offset)) {
          throw new Error(`${key} at ${offset} was committed, but is not delivered`);
        }
        const newer = newest.get(key);
        if (!newer) {
          if (!there && value !== null) throw new Error(`the newest ${key} at ${offset} is lost`);
          if (!there && this.clock.now() - record.timestamp < this.settings.deleteRetentionMs) {
            throw new Error(`the tombstone of ${key} at ${offset} went too early`);
          }
        } else if (there && newer.isMissing && isQuiet) {
          throw new Error(`${key} at ${offset} is there, a newer one at ${newer.record.offset} is not`);
        }
        newest.set(key, { record, isMissing: !there });
      }
    }
  }

  private below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }
}

describe('a compacted log on a disk that forgets', () => {
  const step = 25;
  for (let from = FIRST_SEED; from < FIRST_SEED + SEEDS; from += step) {
    const to = Math.min(from + step, FIRST_SEED + SEEDS);
    test(`keeps the newest of every key, whatever is cut when (seeds ${from} to ${to - 1})`, {
      timeout: 600_000,
    }, async () => {
      const sums = { compactions: 0, cutsInside: 0, swapsCut: 0 };
      for (let seed = from; seed < to; seed++) {
        const simulation = new Simulation(seed);
        try {
          await simulation.run();
        } catch (error) {
          throw new Error(`seed ${seed}`, { cause: error });
        }
        for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += simulation[name];
      }
      // The runs are worth something only when compaction is what they cut.
      if (to - from === step) {
        expect(sums.compactions).toBeGreaterThan(10);
        expect(sums.cutsInside).toBeGreaterThan(10);
        expect(sums.swapsCut).toBeGreaterThan(0);
      }
    });
  }
});
