import type { Disk } from '../base/disk.ts';
import { logDirectoryName, offsetInName, parseLogDirectoryName, readWhole, SUFFIX } from '../log/log-files.ts';
import type { Finding, Report } from '../log/verify/finding.ts';
import { verifyDirectory } from '../log/verify/verify-directory.ts';
import type { VerifiedLog } from '../log/verify/verify-log.ts';
import type { CatalogueTopic, DeletedTopic } from './catalogue.ts';
import { decodeProducerSnapshot } from './producer-snapshot.ts';
import { checkTopicConfig, ETL_MODULES } from './topic-config.ts';
import { TRANSACTIONS_TOPIC } from './transactions/transaction-records.ts';
import { checkPositions } from './verify-positions.ts';
import { checkTransactions } from './verify-transactions.ts';

const CATALOGUE = 'catalogue.json';
const OFFSETS_TOPIC = '__consumer_offsets';

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
  nextProducerId: number;
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
  const screened = new Set(catalogue?.topics.filter(({ configs }) => ETL_MODULES in configs).map(({ name }) => name));
  const inLogs = await verifyDirectory({
    disk,
    directory: logDirectory,
    onLog: log => logs.push(log),
    isCompacted: topic => compacted.has(topic),
    isScreened: topic => screened.has(topic),
  });
  findings.push(...inLogs);
  if (catalogue) compareWithCatalogue(catalogue, logs, report);
  for (const log of logs) await checkSnapshots(disk, logDirectory, log.name, report);
  const journal = (topic: string): VerifiedLog | undefined =>
    logs.find(log => log.name === logDirectoryName({ topic, partition: 0 }));
  const positions = journal(OFFSETS_TOPIC);
  if (catalogue && positions) await checkPositions(disk, logDirectory, positions, catalogue.topics, logs, report);
  await checkTransactions(disk, logDirectory, journal(TRANSACTIONS_TOPIC), logs, report);
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
    return { nextProducerId: content.nextProducerId, topics: content.topics, deleting: content.deleting ?? [] };
  } catch {
    return wrong('problem', 'no JSON');
  }
}

function compareWithCatalogue(
  { nextProducerId, topics, deleting }: Catalogue,
  logs: readonly VerifiedLog[],
  report: Report,
): void {
  const byName = new Map(logs.map(log => [log.name, log]));
  const problem = (file: string, what: string, meaning: string): void =>
    report({ severity: 'problem', file, position: null, what, meaning });
  for (const { name, newestProducerId } of logs) {
    if (newestProducerId < nextProducerId) continue;
    const what = `the next producer id is ${nextProducerId}, but ${name} has records of producer ${newestProducerId}`;
    problem(CATALOGUE, what, 'two producers would have one id: records of the second are refused or taken for retries');
  }
  for (const topic of topics) {
    for (const [key, value] of Object.entries(topic.configs)) {
      try {
        checkTopicConfig(key, value);
      } catch (error) {
        const what = `topic ${topic.name}: ${error instanceof Error ? error.message : String(error)}`;
        problem(CATALOGUE, what, 'the topic does not do what was asked for');
      }
    }
    // A topic, or more partitions of one, are named before their logs are made, and all are made before one is written to.
    let isNew = true;
    for (let partition = topic.partitions - 1; partition >= 0; partition--) {
      const name = logDirectoryName({ topic: topic.name, partition });
      const log = byName.get(name);
      byName.delete(name);
      isNew &&= !log || log.endOffset === 0;
      const missing = `names ${name}, which has no log`;
      if (!log && isNew) {
        const meaning = 'the making of it was interrupted; the next start makes it, empty';
        report({ severity: 'note', file: CATALOGUE, position: null, what: missing, meaning });
      } else if (!log) problem(CATALOGUE, missing, 'its records are lost; it begins anew, empty');
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
