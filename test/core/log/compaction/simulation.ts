import { deepStrictEqual, ok, strictEqual } from 'node:assert/strict';
import { silentLogger } from '../../../../core/base/logger.ts';
import { type Random, seededRandom } from '../../../../core/base/random.ts';
import { ProducerState } from '../../../../core/broker/producer-state.ts';
import { CODECS, lastOffset as lastOffsetOf, readBatchHeader } from '../../../../core/log/batch.ts';
import type { CompactionSettings } from '../../../../core/log/compaction/select.ts';
import { readWhole } from '../../../../core/log/log-files.ts';
import { openLocalLogStore } from '../../../../core/log/local-log-store.ts';
import type { LogStore, PartitionLog } from '../../../../core/log/log.ts';
import { encodeMarker, readMarker } from '../../../../core/log/marker.ts';
import { encodeBatch, readRecords } from '../../../../core/log/record.ts';
import { verifyDirectory } from '../../../../core/log/verify/verify-directory.ts';
import { Model, type ModelBatch, type ModelRecord, unlessFull } from './model.ts';
import { FaultDisk } from '../fault-disk.ts';
import { CONFIG, headersOf, ID } from '../harness.ts';
import { ManualClock } from '../manual-clock.ts';

const STEPS = 25;

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

export class Simulation {
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
  /** Changes of names and syncs of the folder since a compacted segment began to take its originals' place; 0: none did
   * since this was last set. */
  private swapSteps = 0;
  /** The last rename of a swap was made, and no sync behind it is through. */
  private swapEnds = false;
  /** Another swap has begun before such a sync. */
  private swapsMeet = false;
  /** The recovery points cannot be stored. */
  private noCheckpoints = false;
  private readonly skipsSync: (path: string) => boolean;
  /** Where compaction said that it has been. */
  private cleanedTo = 0;
  compactions = 0;
  cutsInside = 0;
  /** Cuts that left a swap to be completed. */
  swapsCut = 0;

  constructor(seed: number, skipsSync: (path: string) => boolean = () => false) {
    this.skipsSync = skipsSync;
    this.random = seededRandom(seed);
    this.disk = new FaultDisk(this.random);
    const pick = (...values: number[]): number => values[this.below(values.length)] as number;
    this.segmentBytes = pick(600, 1_500, 4_000);
    this.keys = pick(3, 12, 60);
    this.cacheBytes = pick(0, 2_000, 1_000_000);
    this.compactionBytes = pick(200, 1_000_000);
    this.settings = {
      minCleanableDirtyRatio: pick(0, 0, 0.5),
      minCompactionLagMs: pick(0, 0, 1_000),
      maxCompactionLagMs: Infinity,
      deleteRetentionMs: pick(0, 5_000, 1_000_000),
    };
  }

  async run(): Promise<void> {
    await this.start();
    // What the first compaction of a log leaves is told apart from damage by other means than later ones.
    if (this.random.float() < 0.7) await this.cutWithin();
    for (let step = 0; step < STEPS; step++) {
      const luck = this.random.float();
      if (luck < 0.45) await this.appendSome();
      else if (luck < 0.58) await this.endTransaction();
      else if (luck < 0.72) await this.compact();
      else if (luck < 0.8) await this.cutWithin();
      else if (luck < 0.84) await this.check();
      else if (luck < 0.88) this.clock.advance(this.below(this.below(3) > 0 ? 4_000 : 120_000));
      else if (luck < 0.89) await this.stop('close');
      else if (luck < 0.92) await this.stop('kill');
      else if (luck < 0.97) await this.stop('cut');
      else await this.compactOnFullDisk();
      for (let turns = this.below(12); turns > 0; turns--) await turn();
    }
    await this.stop('cut');
    await this.stop('close');
  }

  private async start(): Promise<void> {
    this.noCheckpoints = false;
    this.watch(this.disk);
    this.disk.skipsSync = this.skipsSync;
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

  /** Counts what a swap does to the folder; refuses the recovery points when they are to fail. */
  private watch(disk: FaultDisk): void {
    const rename = disk.rename.bind(disk);
    const remove = disk.remove.bind(disk);
    const syncDirectory = disk.syncDirectory.bind(disk);
    disk.rename = async (from, to) => {
      if (this.noCheckpoints && to.endsWith('recovery-point-offset-checkpoint')) {
        throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
      }
      await rename(from, to);
      if (this.swapSteps > 0 || to.endsWith('.swap')) this.swapSteps++;
      if (to.endsWith('.log')) this.swapEnds = true;
      if (to.endsWith('.swap') && this.swapEnds) this.swapsMeet = true;
    };
    disk.remove = async path => {
      await remove(path);
      if (this.swapSteps > 0) this.swapSteps++;
    };
    disk.syncDirectory = async path => {
      await syncDirectory(path);
      this.swapEnds = false;
      if (this.swapSteps > 0) this.swapSteps++;
    };
  }

  private async appendSome(): Promise<void> {
    this.noCheckpoints = this.random.float() < 0.1;
    for (let batches = this.below(6); batches >= 0; batches--) await this.append();
    if (this.noCheckpoints) for (let turns = 40; turns > 0; turns--) await turn();
    this.noCheckpoints = false;
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
        // Now and then: they cost more than all the rest.
        codec: this.random.float() < 0.7 ? 'none' : (CODECS[this.below(CODECS.length)] ?? 'none'),
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
      const compacted = this.log.compact(this.settings).catch(unlessFull);
      this.compaction = compacted.then(result => {
        if (life !== this.life) return;
        if (result) this.compactions++;
        this.cleanedTo = Math.max(this.cleanedTo, result?.cleanedTo ?? 0);
        this.compaction = null;
      });
    }
    if (this.random.float() < 0.6) await this.compaction;
  }

  /** Somewhere in a compaction the power goes; more often than chance would have it, right where files change hands. */
  private async cutWithin(): Promise<void> {
    await this.compaction;
    for (let batches = 3 + this.below(12); batches >= 0; batches--) await this.append();
    // Mostly there is something to compact: decided, old enough and sealed.
    if (this.random.float() < 0.8) {
      while ([...this.model.fates().values()].includes('open')) await this.endTransaction();
      this.clock.advance(1_000);
      for (let turns = 60; turns > 0; turns--) await turn();
    }
    this.swapSteps = 0;
    this.swapEnds = false;
    this.swapsMeet = false;
    // Segments are made bigger: several become one.
    const factor = this.random.float() < 0.6 ? 4 : 1;
    this.log.configure({ ...CONFIG, segmentBytes: this.segmentBytes * factor });
    void this.compact();
    const atSwap = this.random.float() < 0.8;
    const mode = this.random.float();
    const isThere = (): boolean => (mode < 0.3 ? this.swapEnds : mode < 0.5 ? this.swapsMeet : this.swapSteps >= steps);
    const steps = 1 + this.below(this.random.float() < 0.5 ? 16 : 60);
    for (let turns = atSwap ? 2_000 : this.below(200); turns > 0 && this.compaction; turns--) {
      if (atSwap && isThere()) break;
      await turn();
    }
    for (let turns = atSwap && mode >= 0.5 ? this.below(3) : 0; turns > 0; turns--) await turn();
    await this.stop(this.random.float() < 0.8 ? 'cut' : 'kill');
  }

  private async compactOnFullDisk(): Promise<void> {
    await this.compaction;
    this.disk.leaveRoom(this.below(3_000));
    await this.log.compact(this.settings).catch(unlessFull);
    this.disk.leaveRoom(Infinity);
    await this.check();
  }

  private async stop(how: 'close' | 'kill' | 'cut'): Promise<void> {
    const { model } = this;
    if (how === 'close') {
      await this.store.close();
      model.promisedEnd = model.end;
    }
    model.promisedEnd = Math.max(model.promisedEnd, this.log.highWatermark);
    if (this.compaction) this.cutsInside++;
    this.compaction = null;
    this.life++;
    this.disk = how === 'cut' ? this.disk.cut() : this.disk.kill();
    const hasSwap = (await this.disk.list(`/data/log/${ID.topic}-0`)).some(name => name.endsWith('.swap'));
    if (hasSwap) this.swapsCut++;
    await this.verify();
    if (this.random.float() < (hasSwap ? 0.7 : 0.1)) await this.cutRecovery();
    await this.start();
    const end = this.log.endOffset;
    ok(end >= model.promisedEnd, `the log ends at ${end}, ${model.promisedEnd} was promised`);
    ok(end <= model.end, `the log ends at ${end}, only ${model.end} was written`);
    model.batches = model.batches.filter(batch => batch.lastOffset < end);
    strictEqual(model.end, end);
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
      deepStrictEqual([known?.lastSequence, known?.lastOffset], [next - 1, newest?.lastOffset]);
    }
  }

  private async verify(): Promise<void> {
    const findings = await verifyDirectory({ disk: this.disk, directory: '/data/log' });
    deepStrictEqual(
      findings.filter(finding => finding.severity === 'problem'),
      [],
    );
    // What has been compacted is not looked at again.
    const text = (await readWhole(this.disk, '/data/log/cleaner-offset-checkpoint'))?.toString() ?? '';
    const cleanedTo = Number(/^\S+ 0 (\d+)$/m.exec(text)?.[1] ?? 0);
    ok(cleanedTo >= this.cleanedTo, `compaction is stored up to ${cleanedTo}, was through with ${this.cleanedTo}`);
  }

  /** The power goes again while the log is being recovered. */
  private async cutRecovery(): Promise<void> {
    this.swapSteps = 1;
    void this.start().catch(() => {});
    const steps = 1 + this.below(20);
    for (let turns = 300; turns > 0 && this.swapSteps < steps; turns--) await turn();
    this.disk = this.disk.cut();
    await this.verify();
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
      ok(read.batches.length > 0, `nothing is read at ${next}`);
      for (const bytes of read.batches) {
        const header = readBatchHeader(bytes);
        const batch = batches.get(header.baseOffset);
        const isRight = batch?.producerId === header.producerId && batch.lastOffset === lastOffsetOf(header);
        ok(isRight && header.baseOffset >= next, `a strange batch at ${header.baseOffset}, asked for ${next}`);
        next = lastOffsetOf(header) + 1;
        // As the Java consumer does it.
        while (aborted[0] && aborted[0].firstOffset < next) skipped.add(aborted.shift()?.producerId ?? -1);
        const marker = readMarker(bytes, 0, header);
        strictEqual(marker?.kind ?? null, header.recordCount === 0 ? null : (batch?.marker ?? null));
        if (marker) {
          if (marker.kind === 'abort') skipped.delete(header.producerId);
          continue;
        }
        for (const { offset, key, value, timestamp } of readRecords(bytes)) {
          const text = (part: Uint8Array | null): string | null =>
            part === null ? null : Buffer.from(part).toString();
          found.set(offset, { offset, key: text(key) ?? '', value: text(value), timestamp });
          const isSkipped = isRight && batch.isTransactional && skipped.has(header.producerId);
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
          const isSame = there.key === key && there.value === value && there.timestamp === record.timestamp;
          ok(isSame, `${key} at ${offset} has changed`);
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
