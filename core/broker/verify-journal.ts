import type { Disk } from '../base/disk.ts';
import type { BatchHeader } from '../log/batch.ts';
import { offsetInName, SUFFIX } from '../log/log-files.ts';
import type { VerifiedLog } from '../log/verify/verify-log.ts';
import { walkBatches } from '../log/verify/walk.ts';

/** Where a record lies, for a finding. */
export interface At {
  file: string;
  position: number;
}

/** Shows every batch of an internal topic's log, as far as the log goes; what lies behind is cut off by a start. */
export async function walkJournal(
  disk: Disk,
  root: string,
  { name: log, endOffset }: VerifiedLog,
  onBatch: (header: BatchHeader, bytes: Uint8Array, at: At) => void,
): Promise<void> {
  const names = (await disk.list(`${root}/${log}`)).filter(name => offsetInName(name, SUFFIX.log) !== null).toSorted();
  for (const name of names) {
    const file = await disk.open(`${root}/${log}/${name}`, 'read');
    try {
      await walkBatches(
        file,
        (header, position, bytes) => {
          if (bytes && header.baseOffset < endOffset) onBatch(header, bytes, { file: `${log}/${name}`, position });
        },
        () => true,
      );
    } finally {
      await file.close();
    }
  }
}
