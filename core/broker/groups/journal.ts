import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { isControl, readBatchHeader } from '../../log/batch.ts';
import type { PartitionLog } from '../../log/log.ts';
import { encodeBatch, type NewRecord, readRecords } from '../../log/record.ts';
import {
  decodeGroupRecordKey,
  encodeGroupRecordKey,
  GroupMetadataValue,
  OffsetCommitValue,
} from '../../protocol/messages/internal-records.ts';
import { decodeVersioned, encodeVersioned } from '../../protocol/versioned.ts';
import type { CommittedOffset } from './committed-offsets.ts';
import type { StoredGroup } from './group.ts';

/** Value versions that every Kafka since 2.3 reads. */
const OFFSET_VALUE_VERSION = 3;
const GROUP_VALUE_VERSION = 3;
const READ_BYTES = 1024 * 1024;
const SNAPSHOT_RECORDS = 500;

export type JournalEntry =
  | { kind: 'offset'; group: string; topic: string; partition: number; committed: CommittedOffset | null }
  | { kind: 'group'; groupId: string; group: StoredGroup | null };

export interface JournalOptions {
  log: PartitionLog;
  clock: Clock;
  logger: Logger;
  /** Bytes written after which the state is written anew and older segments go. */
  snapshotBytes: number;
  /** The whole state, with what is not durable yet. */
  state: () => Iterable<JournalEntry>;
}

/**
 * The internal topic `__consumer_offsets`: every change of a group or position, in Kafka's record format. Until
 * compaction exists it is kept short by writing the whole state behind the old records and removing those before it.
 */
export class Journal {
  private readonly options: JournalOptions;
  private bytesSinceSnapshot = 0;
  private snapshotRunning = false;

  constructor(options: JournalOptions) {
    this.options = options;
  }

  /** Reads everything back, oldest first. */
  async load(apply: (entry: JournalEntry) => void): Promise<void> {
    const { log, logger } = this.options;
    let unreadable = 0;
    for (let offset = log.startOffset; offset < log.highWatermark; ) {
      const read = await log.read(offset, READ_BYTES);
      for (const batch of read.batches) {
        if (isControl(readBatchHeader(batch))) continue;
        for (const record of readRecords(batch)) {
          try {
            const entry = entryOf(record.key, record.value);
            if (entry) apply(entry);
          } catch {
            unreadable++;
          }
        }
      }
      this.bytesSinceSnapshot += read.sizeBytes;
      if (read.nextOffset <= offset) break;
      offset = read.nextOffset;
    }
    if (unreadable > 0) logger.warn('records of __consumer_offsets could not be read', { records: unreadable });
  }

  /** Appends in call order (synchronously); resolves when durable. */
  append(entries: readonly JournalEntry[]): Promise<void> {
    const { log, snapshotBytes } = this.options;
    const batch = this.encode(entries);
    const { durable } = log.append(batch, [readBatchHeader(batch)]);
    this.bytesSinceSnapshot += batch.length;
    if (this.bytesSinceSnapshot >= snapshotBytes && !this.snapshotRunning) {
      // In a turn of its own: the caller may still be about to take these entries into the state.
      this.snapshotRunning = true;
      queueMicrotask(() => void this.snapshot());
    }
    return durable;
  }

  private async snapshot(): Promise<void> {
    const { log, logger, state } = this.options;
    const from = log.endOffset;
    this.bytesSinceSnapshot = 0;
    try {
      // All of it in this turn, so that no other entry comes between.
      let durable: Promise<void> = Promise.resolve();
      let entries: JournalEntry[] = [];
      const flush = (): void => {
        if (entries.length === 0) return;
        const batch = this.encode(entries);
        entries = [];
        durable.catch(() => {});
        ({ durable } = log.append(batch, [readBatchHeader(batch)]));
      };
      for (const entry of state()) {
        entries.push(entry);
        if (entries.length === SNAPSHOT_RECORDS) flush();
      }
      flush();
      await durable;
      await log.deleteBefore(from);
    } catch (error) {
      // The old records are still there: nothing is lost, the next attempt comes after as many bytes.
      logger.warn('the snapshot of __consumer_offsets failed', { error });
    } finally {
      this.snapshotRunning = false;
    }
  }

  private encode(entries: readonly JournalEntry[]): Uint8Array {
    const timestamp = this.options.clock.now();
    return encodeBatch(entries.map(entry => ({ timestamp, ...recordOf(entry) })));
  }
}

function recordOf(entry: JournalEntry): Pick<NewRecord, 'key' | 'value'> {
  if (entry.kind === 'offset') {
    const { group, topic, partition, committed } = entry;
    const key = encodeGroupRecordKey({ kind: 'offset', group, topic, partition });
    return { key, value: committed && encodeVersioned(OffsetCommitValue, OFFSET_VALUE_VERSION, committed) };
  }
  const key = encodeGroupRecordKey({ kind: 'group', group: entry.groupId });
  const { group } = entry;
  if (!group) return { key, value: null };
  const value = encodeVersioned(GroupMetadataValue, GROUP_VALUE_VERSION, {
    protocolType: group.protocolType,
    generation: group.generation,
    protocol: group.protocolName,
    leader: group.leader,
    currentStateTimestamp: group.stateTimestamp,
    members: group.members.map(member => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      rebalanceTimeout: member.rebalanceTimeoutMs,
      sessionTimeout: member.sessionTimeoutMs,
      subscription: member.protocols[0]?.metadata ?? new Uint8Array(),
      assignment: member.assignment,
    })),
  });
  return { key, value };
}

/** null for records of kinds that we do not keep. Throws when the bytes make no sense. */
function entryOf(key: Uint8Array | null, value: Uint8Array | null): JournalEntry | null {
  if (!key) return null;
  const name = decodeGroupRecordKey(key);
  if (name.kind === 'other') return null;
  if (name.kind === 'offset') {
    const { group, topic, partition } = name;
    const stored = value && decodeVersioned(OffsetCommitValue, value);
    const committed = stored && {
      offset: stored.offset,
      leaderEpoch: stored.leaderEpoch,
      metadata: stored.metadata,
      commitTimestamp: stored.commitTimestamp,
    };
    return { kind: 'offset', group, topic, partition, committed };
  }
  if (!value) return { kind: 'group', groupId: name.group, group: null };
  const stored = decodeVersioned(GroupMetadataValue, value);
  const group: StoredGroup = {
    groupId: name.group,
    protocolType: stored.protocolType,
    generation: stored.generation,
    protocolName: stored.protocol,
    leader: stored.leader,
    stateTimestamp: stored.currentStateTimestamp,
    members: stored.members.map(member => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      sessionTimeoutMs: member.sessionTimeout,
      rebalanceTimeoutMs: member.rebalanceTimeout < 0 ? member.sessionTimeout : member.rebalanceTimeout,
      protocols: [{ name: stored.protocol ?? '', metadata: Uint8Array.from(member.subscription) }],
      assignment: Uint8Array.from(member.assignment),
    })),
  };
  return { kind: 'group', groupId: name.group, group };
}
