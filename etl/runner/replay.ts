import type { Clock } from '../../core/base/clock.ts';
import { fromDeadRecord, toDeadRecord } from '../../core/engine/dead-letter.ts';
import type { Append, Lease } from '../../core/engine/engine.ts';
import { readOrigins, writeOrigins } from '../../core/engine/lineage.ts';
import {
  batchesIn,
  bodySize,
  encodeBatch,
  type LogRecord,
  type NewRecord,
  readRecords,
} from '../../core/engine/records.ts';
import { fromReplayRecord, nextLetter, type Replay } from '../../core/engine/replay.ts';
import type {
  ChainSpec,
  Lane,
  LaneTask,
  LetterSummary,
  Sandbox,
  StepCounts,
  TaskOutput,
  TaskResult,
} from '../sandbox/sandbox.ts';

/** Below Kafka's default limit of 1 MiB; compressed besides, since limits count compressed bytes. */
const MOST_BATCH_BYTES = 512 * 1024;
/** Offsets in one frame lie within 32 bits of each other. */
const FRAME_SPAN = 2 ** 31;

export interface ReplayLaneOptions {
  lease: Lease;
  sandbox: Sandbox;
  clock: Clock;
  /** The whole chain; `source` is not looked at. */
  chain: ChainSpec;
  /** How many partitions the pipeline's source topic has. */
  partitions: number;
}

/** Replays that go through the chain together: no two of one source record. */
interface Group {
  step: number;
  source: ChainSpec['source'];
  /** By the source record's offset; `at`: the offset of the replay itself. */
  replays: Map<number, Replay & { at: number }>;
}

/**
 * The lane of `<pipeline>.replay`. Each record enters the chain at the step that refused it, as it was given to that
 * step, and in the name of its source partition, so that it comes out where it would have come out; what dies again
 * keeps where it came from. Replays are few: this thread takes them apart, and a chain is opened as it is needed.
 */
export class ReplayLane implements Lane {
  private readonly options: ReplayLaneOptions;
  private tail: Promise<unknown> = Promise.resolve();

  constructor(options: ReplayLaneOptions) {
    this.options = options;
  }

  run(task: LaneTask): Promise<TaskResult> {
    const done = this.tail.then(() => this.process(task));
    this.tail = done.catch(() => {});
    return done;
  }

  async close(): Promise<void> {
    await this.tail;
  }

  private async process(task: LaneTask): Promise<TaskResult> {
    const { chain } = this.options;
    const groups = new Map<string, Group>();
    const total = new Total(chain.steps.map(step => step.name));
    for (const record of recordsOf(task)) {
      const replay = fromReplayRecord(record);
      const step = chain.steps.findIndex(({ name }) => name === replay?.letter.name);
      if (replay && this.mayEnter(replay, step)) this.sort(groups, step, replay, record.offset);
      else total.bury([this.stray(record, replay)]);
    }
    for (const group of groups.values()) {
      const result = await this.pass(group, task.samples - total.samples);
      const outputs = result.outputs.map(output => ({ ...output, origins: fromReplays(group, output) }));
      total.add(group.step, { ...result, outputs }, dead => again(group, dead));
    }
    return total.result();
  }

  /** Behind a step that keeps state a record has its place among the others of its partition: it cannot come again. */
  private mayEnter({ letter }: Replay, step: number): boolean {
    const { steps } = this.options.chain;
    return letter.stage === 'step' && step !== -1 && !steps.slice(step).some(({ module }) => module.state);
  }

  private sort(groups: Map<string, Group>, step: number, replay: Replay, at: number): void {
    const { topic, topicId, partition, offset } = replay.letter;
    const kind = `${step}/${topicId}-${partition}/${Math.floor(offset / FRAME_SPAN)}`;
    for (let nth = 0; ; nth++) {
      const key = `${kind}/${nth}`;
      let group = groups.get(key);
      if (group?.replays.has(offset)) continue;
      if (!group) {
        const source = { topic, topicId, partition: partition % this.options.partitions };
        groups.set(key, (group = { step, source, replays: new Map() }));
      }
      group.replays.set(offset, { ...replay, at });
      return;
    }
  }

  private async pass({ step, source, replays }: Group, samples: number): Promise<TaskResult> {
    const { chain, sandbox } = this.options;
    // It is a dead letter already: that it is refused once more says nothing about the records behind it.
    const steps = chain.steps.slice(step).map(
      each =>
        ({
          ...each,
          onError: each.onError === 'stop' ? 'dead_letter' : each.onError,
          maxFailuresInARow: null,
        }) as const,
    );
    const offsets = [...replays.keys()].toSorted((a, b) => a - b);
    const batches = offsets.map(offset => encodeBatch([(replays.get(offset) as Replay).given], { baseOffset: offset }));
    const lane = sandbox.openLane({ ...chain, steps, source });
    try {
      return await lane.run({ batches: joined(batches), from: 0, samples: Math.max(0, samples) });
    } finally {
      await lane.close();
    }
  }

  /** What cannot enter the chain is not lost either. */
  private stray(record: LogRecord, replay: Replay | null): NewRecord {
    const { chain, lease, clock } = this.options;
    if (!replay) {
      const { topic, topicId, partition } = lease;
      return toDeadRecord(record, {
        pipeline: chain.pipeline,
        stage: 'source',
        name: 'source',
        topic,
        topicId,
        partition,
        offset: record.offset,
        index: 0,
        sha256: null,
        code: 'NOT_A_DEAD_LETTER',
        reason: `only dead letters belong into ${topic}`,
        at: clock.now(),
        replays: 0,
        input: null,
      });
    }
    const { letter, source } = replay;
    const known = chain.steps.some(({ name }) => name === letter.name);
    const code = known ? 'STATEFUL_STEP' : 'NO_SUCH_STEP';
    const reason = known
      ? `step \`${letter.name}\`, or one behind it, keeps state: a record cannot enter it once more, out of its place`
      : `the pipeline has no step \`${letter.name}\` now`;
    return toDeadRecord(source, nextLetter(replay, { ...letter, code, reason, at: clock.now(), input: null }));
  }
}

/** The letters of replays that died again, of the records that the sandbox made of them. */
function again(group: Group, dead: NonNullable<TaskResult['dead']>): NewRecord[] {
  return readRecords(dead.batch).map(record => {
    const death = fromDeadRecord(record);
    const replay = death && group.replays.get(death.offset);
    return death && replay ? toDeadRecord(replay.source, nextLetter(replay, death)) : record;
  });
}

/** The map of an output to the records of the replay topic, out of the one to their source records. */
function fromReplays({ replays }: Group, { origins, records }: TaskOutput): Uint8Array | null {
  const sources = origins && readOrigins(origins, records);
  return sources && writeOrigins(sources.map(offset => replays.get(offset)?.at ?? 0));
}

/** Each letter goes where the first one of its record lies: to the partition of its source, in batches of a bounded size. */
export function deadAppends(batch: Uint8Array, topic: string, partitions: number): Append[] {
  const appends: Append[] = [];
  const letters = readRecords(batch);
  for (const [partition, own] of Map.groupBy(letters, one => (fromDeadRecord(one)?.partition ?? 0) % partitions)) {
    for (let from = 0; from < own.length; ) {
      let to = from;
      for (let size = 0; to < own.length; to++) {
        size += bodySize(own[to] as LogRecord);
        if (to > from && size > MOST_BATCH_BYTES) break;
      }
      appends.push({ topic, partition, batch: encodeBatch(own.slice(from, to), { codec: 'zstd' }) });
      from = to;
    }
  }
  return appends;
}

/** One result out of many. */
class Total {
  samples = 0;
  private readonly outputs: TaskResult['outputs'] = [];
  private readonly dead: NewRecord[] = [];
  private readonly letters: LetterSummary[] = [];
  private readonly steps: StepCounts[];
  private readonly shown: TaskResult['samples'] = [];
  private records = 0;
  private readonly ends = { emitted: 0, dropped: 0, passed: 0, dead: 0 };

  constructor(steps: readonly string[]) {
    this.steps = steps.map(() => ({ in: 0, emitted: 0, dropped: 0, passed: 0, dead: 0, out: 0, nanoseconds: 0 }));
  }

  bury(records: readonly NewRecord[]): void {
    this.records += records.length;
    this.ends.dead += records.length;
    this.keep(records);
  }

  /** `from`: the first step that took part. */
  add(from: number, result: TaskResult, letters: (dead: NonNullable<TaskResult['dead']>) => NewRecord[]): void {
    this.records += result.records;
    for (const end of ['emitted', 'dropped', 'passed', 'dead'] as const) this.ends[end] += result.ends[end];
    this.outputs.push(...result.outputs);
    this.shown.push(...result.samples);
    this.samples = this.shown.length;
    result.steps.forEach((counts, i) => {
      const sum = this.steps[from + i] as StepCounts;
      for (const key of Object.keys(sum) as (keyof StepCounts)[]) sum[key] += counts[key];
    });
    if (result.dead) this.keep(letters(result.dead));
  }

  result(): TaskResult {
    const dead = this.dead.length === 0 ? null : { batch: encodeBatch(this.dead), letters: this.letters };
    const { records, ends, outputs, steps, shown: samples } = this;
    return { records, ends, outputs, dead, steps, samples, stopped: null, recycled: null };
  }

  private keep(records: readonly NewRecord[]): void {
    for (const record of records) {
      const letter = fromDeadRecord({ headers: record.headers ?? [] });
      this.dead.push(record);
      if (letter) {
        const { name: step, offset, code, reason } = letter;
        this.letters.push({ step, offset, code, reason });
      }
    }
  }
}

function* recordsOf({ batches, from }: LaneTask): Generator<LogRecord> {
  for (const { at, header } of batchesIn(batches)) {
    for (const record of readRecords(batches.subarray(at, at + header.sizeBytes))) {
      if (record.offset >= from) yield record;
    }
  }
}

function joined(batches: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(batches.reduce((sum, batch) => sum + batch.length, 0)));
  let at = 0;
  for (const batch of batches) {
    bytes.set(batch, at);
    at += batch.length;
  }
  return bytes;
}
