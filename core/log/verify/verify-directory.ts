import type { Disk } from '../../base/disk.ts';
import { DELETED_SUFFIX, parseLogDirectoryName, readWhole } from '../log-files.ts';
import type { Finding, Report } from './finding.ts';
import { verifyLog, type VerifiedLog } from './verify-log.ts';

const CLEAN_MARKER = '.kafka_cleanshutdown';
const RECOVERY_POINTS = 'recovery-point-offset-checkpoint';
const START_OFFSETS = 'log-start-offset-checkpoint';
const CLEANER_OFFSETS = 'cleaner-offset-checkpoint';

export interface VerifyOptions {
  disk: Disk;
  /** A directory of logs that no process has open. */
  directory: string;
  /** Gets each log as its bytes tell it. */
  onLog?: (log: VerifiedLog) => void;
  /** Whether the topic's settings let offsets be missing; left out, only logs in Kafka's cleaner checkpoint may. */
  isCompacted?: (topic: string) => boolean;
  /** Whether records of the topic's batches may have been left out before they were stored; left out: of none. */
  isScreened?: (topic: string) => boolean;
}

/** Reads every byte of a directory of logs and returns what does not fit; an empty list is a sound directory. Notes are
 * what the next start sees to, such as a torn tail. */
export async function verifyDirectory(options: VerifyOptions): Promise<Finding[]> {
  const { disk, directory } = options;
  const findings: Finding[] = [];
  const report: Report = finding => findings.push(finding);
  const isClean = await disk.exists(`${directory}/${CLEAN_MARKER}`);
  const recoveryPoints = await readCheckpoint(disk, directory, RECOVERY_POINTS, report);
  const startOffsets = await readCheckpoint(disk, directory, START_OFFSETS, report);
  const cleanerOffsets = await readCheckpoint(disk, directory, CLEANER_OFFSETS, report);
  const names = (await disk.list(directory)).toSorted();
  for (const name of names) {
    const parsed = parseLogDirectoryName(name);
    if (!parsed || name.endsWith(DELETED_SUFFIX) || (await disk.list(`${directory}/${name}`)).length === 0) continue;
    const log = await verifyLog(
      disk,
      {
        root: directory,
        name,
        isClean,
        recoveryPoint: recoveryPoints.get(name),
        startOffset: startOffsets.get(name),
        isCompacted: cleanerOffsets.has(name) || (options.isCompacted?.(parsed.topic) ?? false),
        isScreened: options.isScreened?.(parsed.topic) ?? false,
      },
      report,
    );
    options.onLog?.(log);
    const cleaned = cleanerOffsets.get(name) ?? 0;
    if (cleaned > log.endOffset) {
      const what = `${name} is compacted up to ${cleaned}, but ends at ${log.endOffset}`;
      report({ severity: 'problem', file: CLEANER_OFFSETS, position: null, what, meaning: 'records are lost' });
    }
  }
  const files = { [RECOVERY_POINTS]: recoveryPoints, [START_OFFSETS]: startOffsets, [CLEANER_OFFSETS]: cleanerOffsets };
  for (const [file, offsets] of Object.entries(files)) {
    for (const [name] of offsets) {
      if (names.includes(name)) continue;
      const meaning = 'harmless, unless a topic of that name is made again';
      report({ severity: 'note', file, position: null, what: `names the log ${name}, which is not there`, meaning });
    }
  }
  return findings;
}

/** Every line counts here: the broker passes over what it cannot read, and recovers more than it had to. */
async function readCheckpoint(
  disk: Disk,
  directory: string,
  file: string,
  report: Report,
): Promise<Map<string, number>> {
  const offsets = new Map<string, number>();
  const lines = (await readWhole(disk, `${directory}/${file}`))?.toString().split('\n');
  if (!lines) return offsets;
  const wrong = (line: number, what: string): void => {
    report({ severity: 'problem', file, position: line, what, meaning: 'the offsets in it are not known' });
  };
  if (lines[0] !== '0') wrong(1, `version ${JSON.stringify(lines[0])} instead of 0`);
  if (lines[1] !== String(lines.length - 3)) wrong(2, `${lines[1]} lines are promised, ${lines.length - 3} are there`);
  for (const [i, line] of lines.slice(2, -1).entries()) {
    const match = /^(\S+) (\d+) (\d+)$/.exec(line);
    if (match) offsets.set(`${match[1]}-${match[2]}`, Number(match[3]));
    else wrong(i + 3, 'no topic, partition and offset');
  }
  return offsets;
}
