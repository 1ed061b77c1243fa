import { partitionFor } from '../../core/base/murmur2.ts';
import { BATCH_HEADER_BYTES, CODECS, type Codec, compress, readBody, sealBatch } from '../../core/engine/records.ts';
import type { FrameHelper, Table } from './frame-helper/frame-helper.ts';
import type { ChainMessage } from './messages.ts';
import type { RecordEnds, TaskOutput } from './sandbox.ts';

/** A task's maps of outputs to source records take at most this much: 1:1 takes 8 bytes, a filter about one a record. */
const ORIGINS_BYTES = 4096;

/** Lays out what left the chain: one finished batch for each output and partition. */
export function finishedBatches(helper: FrameHelper, left: Table, chain: ChainMessage): TaskOutput[] {
  const outputs: TaskOutput[] = [];
  let room = ORIGINS_BYTES;
  chain.outputs.forEach((output, route) => {
    const groups = output.rehashPartitions === null ? [0] : spread(helper, left, route, output.rehashPartitions, chain);
    for (const group of groups) {
      const batch = finish(helper, left, route, group, output.codec);
      if (!batch) continue;
      const partition = output.rehashPartitions === null ? chain.source.partition : group;
      const origins = originsIn(helper, left, route, group, room);
      room -= origins?.length ?? 0;
      outputs.push({ route, partition, ...batch, origins });
    }
  });
  return outputs;
}

/** Where the records of one output come from; null when that takes more than `room` bytes. */
function originsIn(helper: FrameHelper, left: Table, route: number, group: number, room: number): Uint8Array | null {
  const { raw } = helper;
  const mark = raw.mark();
  const at = helper.reserve(room);
  const size = raw.origins(left.at, left.count, route, group, at, room);
  const origins = size < 0 ? null : helper.memory.slice(at, at + size);
  raw.release(mark);
  return origins;
}

/** Gives each record of an output its partition by key; a record without a key stays with its source partition's number. */
function spread(helper: FrameHelper, left: Table, route: number, count: number, chain: ChainMessage): number[] {
  const used = new Set<number>();
  for (let i = 0; i < left.count; i++) {
    const entry = helper.entry(left, i);
    if (entry.verdict !== route) continue;
    const { key } = readBody(helper.memory, entry.body, entry.body + entry.length);
    const partition = key === null ? chain.source.partition % count : partitionFor(key, count);
    helper.setPartition(left, i, partition);
    used.add(partition);
  }
  return [...used].toSorted((a, b) => a - b);
}

function finish(
  helper: FrameHelper,
  left: Table,
  route: number,
  group: number,
  codec: Codec,
): { batch: Uint8Array; records: number } | null {
  const { raw } = helper;
  const size = raw.measure(left.at, left.count, route, group);
  const records = raw.records.value;
  if (records === 0) return null;
  const mark = raw.mark();
  const at = helper.reserve(size);
  raw.section(left.at, left.count, route, group, at);
  const section = helper.memory.subarray(at, at + size);
  const packed = compress(codec, section);
  // Not from the pool: the buffer is transferred.
  const batch = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES + packed.length);
  batch.set(packed, BATCH_HEADER_BYTES);
  raw.release(mark);
  sealBatch(batch, {
    baseOffset: 0,
    leaderEpoch: -1,
    attributes: CODECS.indexOf(codec),
    lastOffsetDelta: records - 1,
    baseTimestamp: raw.baseTimestamp.value,
    maxTimestamp: raw.maxTimestamp.value,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    recordCount: records,
  });
  return { batch, records };
}

/** What became of a task's source records; `passed` and `dead` are those that a step passed on or refused. */
export function endsOf(
  helper: FrameHelper,
  records: number,
  left: Table | null,
  passed: ReadonlySet<number>,
  dead: ReadonlySet<number>,
): RecordEnds {
  const withOutput = left ? helper.raw.distinct(left.at, left.count) : 0;
  if (passed.size + dead.size === 0) return { emitted: withOutput, dropped: records - withOutput, passed: 0, dead: 0 };
  // A record that was split may have an output and a dead letter.
  let passedOut = 0;
  let deadOut = 0;
  let before = -1;
  for (let i = 0; i < (left?.count ?? 0); i++) {
    const origin = helper.originOf(left as Table, i);
    if (origin === before) continue;
    before = origin;
    if (passed.has(origin)) passedOut++;
    if (dead.has(origin)) deadOut++;
  }
  const deadAlone = dead.size - deadOut;
  return {
    emitted: withOutput - passedOut,
    dropped: records - withOutput - deadAlone,
    passed: passedOut,
    dead: deadAlone,
  };
}
