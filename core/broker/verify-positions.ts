import type { Disk } from '../base/disk.ts';
import { isControl, isTransactional } from '../log/batch.ts';
import { logDirectoryName } from '../log/log-files.ts';
import { readMarker } from '../log/marker.ts';
import { readRecords } from '../log/record.ts';
import type { Report } from '../log/verify/finding.ts';
import type { VerifiedLog } from '../log/verify/verify-log.ts';
import type { CatalogueTopic } from './catalogue.ts';
import { CommittedOffsets, type PositionKey } from './groups/committed-offsets.ts';
import { GROUP_RECORDS } from './groups/group-records.ts';
import { type At, walkJournal } from './verify-journal.ts';

/** Groups of sources: their position is the number of records taken in, not an offset of the topic that they fill. */
const SOURCE_GROUP = /^millstream\.[^.]+\.source$/;

/** Holds what `__consumer_offsets` says beside the logs: every record of it readable, every position in a log. */
export async function checkPositions(
  disk: Disk,
  root: string,
  journal: VerifiedLog,
  topics: readonly CatalogueTopic[],
  logs: readonly VerifiedLog[],
  report: Report,
): Promise<void> {
  const offsets = new CommittedOffsets();
  /** Of the newest record of each position. */
  const places = new Map<string, At>();
  await walkJournal(disk, root, journal, (header, bytes, at) => {
    if (isControl(header)) {
      const marker = readMarker(bytes, 0, header);
      if (marker) offsets.endTransaction(header.producerId, marker.kind);
      return;
    }
    try {
      for (const record of readRecords(bytes)) {
        const entry = GROUP_RECORDS.decode(record);
        if (entry?.kind !== 'offset') continue;
        if (isTransactional(header) && entry.committed) {
          offsets.stageOpen(header.producerId, entry, entry.committed, record.offset);
        } else offsets.set(entry, entry.committed, record.offset);
        if (entry.committed) places.set(textOf(entry), at);
        else places.delete(textOf(entry));
      }
    } catch (error) {
      const what = `records that cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      report({ severity: 'problem', ...at, what, meaning: 'positions of groups are lost' });
    }
  });
  const partitions = new Map(topics.map(topic => [topic.name, topic.partitions]));
  const byName = new Map(logs.map(log => [log.name, log]));
  for (const group of offsets.groupIds()) {
    for (const { topic, partition, committed } of offsets.of(group, 'latest')) {
      const { offset } = committed;
      const where = `${topic}-${partition}`;
      const at = places.get(textOf({ group, topic, partition })) ?? { file: journal.name, position: null };
      const say = (severity: 'problem' | 'note', what: string, meaning: string): void =>
        report({ severity, ...at, what: `group ${group} is at ${offset} of ${where}, ${what}`, meaning });
      if (partition >= (partitions.get(topic) ?? 0)) {
        say('note', 'which is not there', 'it means nothing, and goes when the group expires');
        continue;
      }
      const log = byName.get(logDirectoryName({ topic, partition }));
      if (!log || SOURCE_GROUP.test(group)) continue;
      if (offset > log.endOffset) {
        const meaning = 'records that the group has passed are lost; it would pass over as many new ones';
        say('problem', `which ends at ${log.endOffset}`, meaning);
      } else if (offset < log.startOffset && offset >= 0) {
        say('note', `which begins at ${log.startOffset}`, 'records that the group has not read were removed');
      }
    }
  }
}

const textOf = ({ group, topic, partition }: PositionKey): string => `${topic}/${partition}/${group}`;
