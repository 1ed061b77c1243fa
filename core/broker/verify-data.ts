import type { Disk } from '../base/disk.ts';
import { batchesIn, isControl, isTransactional } from '../log/batch.ts';
import { logDirectoryName, offsetInName, parseLogDirectoryName, readWhole, SUFFIX } from '../log/log-files.ts';
import { readRecords } from '../log/record.ts';
import type { Finding, Report } from '../log/verify/finding.ts';
import { verifyDirectory } from '../log/verify/verify-directory.ts';
import type { VerifiedLog } from '../log/verify/verify-log.ts';
import { walkBatches } from '../log/verify/walk.ts';
import { decodeGroupRecordKey, OffsetCommitValue } from '../protocol/messages/internal-records.ts';
import { decodeVersioned } from '../protocol/versioned.ts';
import type { CatalogueTopic, DeletedTopic } from './catalogue.ts';
import { decodeProducerSnapshot } from './producer-snapshot.ts';

const CATALOGUE = 'catalogue.json';
const OFFSETS_TOPIC = '__consumer_offsets';
/** Groups of sources: their position is the number of records taken in, not an offset of the topic that they fill. */
const SOURCE_GROUP = /^millstream\.[^.]+\.source$/;

export interface VerifyDataOptions {
  disk: Disk;
  /** Holds the logs. */
  logDirectory: string;
  /** Holds the catalogue; a missing one is reported. */
  metaDirectory: string;
}

export interface VerifiedData {
  findings: Finding[];
  logs: VerifiedLog[];
}

interface Catalogue {
  topics: CatalogueTopic[];
  deleting: DeletedTopic[];
}

/** A stopped broker's data: its logs, and what the catalogue, producer snapshots and committed positions say of them. */
export async function verifyData({ disk, logDirectory, metaDirectory }: VerifyDataOptions): Promise<VerifiedData> {
  const findings: Finding[] = [];
  const report: Report = finding => findings.push(finding);
  const logs: VerifiedLog[] = [];
  const catalogue = await readCatalogue(disk, metaDirectory, report);
  const compacted = new Set(catalogue?.topics.filter(isCompacted).map(topic => topic.name));
  const inLogs = await verifyDirectory({
    disk,
    directory: logDirectory,
    onLog: log => logs.push(log),
    isCompacted: topic => compacted.has(topic),
  });
  findings.push(...inLogs);
  if (catalogue) compareWithCatalogue(catalogue, logs, report);
  for (const log of logs) await checkSnapshots(disk, logDirectory, log.name, report);
  if (catalogue) await checkPositions(disk, logDirectory, catalogue, logs, report);
  return { findings, logs };
}

const isCompacted = (topic: CatalogueTopic): boolean =>
  (topic.configs['cleanup.policy'] ?? '').split(',').some(policy => policy.trim() === 'compact');

async function readCatalogue(disk: Disk, directory: string, report: Report): Promise<Catalogue | null> {
  const text = (await readWhole(disk, `${directory}/${CATALOGUE}`))?.toString();
  const wrong = (severity: Finding['severity'], what: string): null => {
    const meaning = 'topics are found again from their logs, with default settings';
    report({ severity, file: CATALOGUE, position: null, what, meaning });
    return null;
  };
  if (text === undefined) return wrong('problem', 'missing');
  try {
    const content = JSON.parse(text) as Catalogue & { version: unknown };
    if (content.version !== 1 || !Array.isArray(content.topics)) return wrong('problem', 'not of version 1');
    return { topics: content.topics, deleting: content.deleting ?? [] };
  } catch {
    return wrong('problem', 'no JSON');
  }
}

function compareWithCatalogue({ topics, deleting }: Catalogue, logs: readonly VerifiedLog[], report: Report): void {
  const byName = new Map(logs.map(log => [log.name, log]));
  const problem = (file: string, what: string, meaning: string): void =>
    report({ severity: 'problem', file, position: null, what, meaning });
  for (const topic of topics) {
    for (let partition = 0; partition < topic.partitions; partition++) {
      const name = logDirectoryName({ topic: topic.name, partition });
      const log = byName.get(name);
      byName.delete(name);
      if (!log) problem(CATALOGUE, `names ${name}, which has no log`, 'its records are lost; it begins anew, empty');
      else if (log.topicId !== null && log.topicId !== topic.id) {
        const what = `names ${name} with topic id ${topic.id}, its log has ${log.topicId}`;
        problem(CATALOGUE, what, 'the broker does not start with it');
      }
    }
  }
  for (const log of byName.values()) {
    const isGoing = deleting.some(gone => gone.name === parseLogDirectoryName(log.name)?.topic);
    report({
      severity: 'note',
      file: log.name,
      position: null,
      what: isGoing ? 'of a topic that is being deleted' : 'of no topic in the catalogue',
      meaning: isGoing ? 'the next start removes it' : 'nobody reads it; the making or deletion of it was interrupted',
    });
  }
}

async function checkSnapshots(disk: Disk, root: string, log: string, report: Report): Promise<void> {
  for (const name of await disk.list(`${root}/${log}`)) {
    if (offsetInName(name, SUFFIX.snapshot) === null) continue;
    try {
      decodeProducerSnapshot((await readWhole(disk, `${root}/${log}/${name}`)) ?? new Uint8Array());
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      const meaning = 'the state of producers is taken from an older snapshot and the batches behind it';
      report({ severity: 'problem', file: `${log}/${name}`, position: null, what, meaning });
    }
  }
}

interface Position {
  group: string;
  topic: string;
  partition: number;
  offset: number;
  at: { file: string; position: number };
}

async function checkPositions(
  disk: Disk,
  root: string,
  catalogue: Catalogue,
  logs: readonly VerifiedLog[],
  report: Report,
): Promise<void> {
  const positions = new Map<string, Position>();
  for (const { name } of logs) {
    if (parseLogDirectoryName(name)?.topic === OFFSETS_TOPIC) await readPositions(disk, root, name, positions, report);
  }
  const topics = new Set(catalogue.topics.map(topic => topic.name));
  const byName = new Map(logs.map(log => [log.name, log]));
  for (const { group, topic, partition, offset, at } of positions.values()) {
    const log = byName.get(logDirectoryName({ topic, partition }));
    // A deleted topic's positions go when its group expires.
    if (!log || !topics.has(topic)) continue;
    const where = `${topic}-${partition}`;
    if (offset > log.endOffset) {
      const what = `group ${group} is at ${offset} of ${where}, which ends at ${log.endOffset}`;
      const meaning = 'records that the group has passed are lost; it would pass over as many new ones';
      report({ severity: 'problem', ...at, what, meaning });
    } else if (offset < log.startOffset && offset >= 0) {
      const what = `group ${group} is at ${offset} of ${where}, which begins at ${log.startOffset}`;
      report({ severity: 'note', ...at, what, meaning: 'retention removed records that the group has not read' });
    }
  }
}

/** The newest position of each group and partition. What an open or aborted transaction wrote is left out. */
async function readPositions(
  disk: Disk,
  root: string,
  log: string,
  positions: Map<string, Position>,
  report: Report,
): Promise<void> {
  const names = (await disk.list(`${root}/${log}`)).filter(name => offsetInName(name, SUFFIX.log) !== null).toSorted();
  for (const name of names) {
    const file = await disk.open(`${root}/${log}/${name}`, 'read');
    try {
      await walkBatches(
        file,
        (header, position, bytes) => {
          if (!bytes || isControl(header) || isTransactional(header)) return;
          const at = { file: `${log}/${name}`, position };
          try {
            take(bytes, at, positions);
          } catch (error) {
            const what = `records that cannot be read: ${error instanceof Error ? error.message : String(error)}`;
            report({ severity: 'problem', ...at, what, meaning: 'positions of groups are lost' });
          }
        },
        true,
      );
    } finally {
      await file.close();
    }
  }
}

function take(bytes: Uint8Array, at: Position['at'], positions: Map<string, Position>): void {
  for (const { at: from } of batchesIn(bytes)) {
    for (const { key, value } of readRecords(bytes.subarray(from))) {
      const name = key && decodeGroupRecordKey(key);
      if (name?.kind !== 'offset' || SOURCE_GROUP.test(name.group)) continue;
      const { group, topic, partition } = name;
      const id = JSON.stringify([group, topic, partition]);
      if (value === null) positions.delete(id);
      else positions.set(id, { group, topic, partition, offset: decodeVersioned(OffsetCommitValue, value).offset, at });
    }
  }
}
