import type { Disk } from '../base/disk.ts';
import { isControl } from '../log/batch.ts';
import { logDirectoryName } from '../log/log-files.ts';
import { readRecords } from '../log/record.ts';
import type { Report } from '../log/verify/finding.ts';
import type { VerifiedLog } from '../log/verify/verify-log.ts';
import type { StoredTransaction, TransactionState } from './transactions/transaction.ts';
import { endOf, TRANSACTION_RECORDS } from './transactions/transaction-records.ts';
import { type At, walkJournal } from './verify-journal.ts';

interface Known {
  stored: StoredTransaction;
  at: At;
  /** The newest decision, also when it is carried out already. */
  decided: StoredTransaction | null;
}

const PREPARED: readonly TransactionState[] = ['PrepareCommit', 'PrepareAbort'];

/**
 * Holds what `__transaction_state` says beside the logs: every record readable and legal behind the one before it; no
 * transaction stored as over of which a marker is missing. What the next start ends is a note.
 */
export async function checkTransactions(
  disk: Disk,
  root: string,
  journal: VerifiedLog | undefined,
  logs: readonly VerifiedLog[],
  report: Report,
): Promise<void> {
  const known = journal ? await readTransactions(disk, root, journal, report) : new Map<string, Known>();
  const byProducer = new Map([...known.values()].map(own => [own.stored.producerId, own]));
  const openIn = new Map<string, number>();
  for (const log of logs) {
    for (const { producerId, epoch, from } of log.open) {
      const say = (severity: 'problem' | 'note', what: string, meaning: string): void =>
        report({ severity, file: log.name, position: null, what, meaning });
      const own = byProducer.get(producerId);
      const { transactionalId: id, state, producerEpoch } = own?.stored ?? { producerEpoch: -1 };
      if (!own || epoch < producerEpoch) {
        const whose = own ? `an earlier owner of '${id}'` : 'nobody';
        const what = `the transaction of producer ${producerId} from ${from} on belongs to ${whose}`;
        say('note', what, 'the next start aborts it');
        continue;
      }
      openIn.set(`${id}/${log.name}`, from);
      if (!state?.startsWith('Complete') || !own.decided) continue;
      const key = own.decided.partitions.find(partition => logDirectoryName(partition) === log.name);
      const end = key ? endOf(own.decided, key) : 0;
      if (end === Infinity || from >= end) continue;
      const what = `the transaction of '${id}' from ${from} on has no marker, and is stored as ${state}`;
      say('problem', what, 'part of a decided transaction would be taken for an open one');
    }
  }
  for (const [id, { stored, at }] of known) {
    const where = stored.partitions.map(logDirectoryName);
    const open = where.filter(name => openIn.has(`${id}/${name}`));
    const say = (what: string, meaning: string): void => report({ severity: 'note', ...at, what, meaning });
    if (PREPARED.includes(stored.state) && open.length > 0) {
      const what = `the transaction of '${id}' is ${stored.state}, without markers in ${open.join(', ')}`;
      say(what, 'the next start writes what is missing');
    } else if (stored.state === 'Ongoing' && open.length === 0) {
      say(`the transaction of '${id}' is Ongoing, no partition has records of it`, 'it ends with its timeout');
    }
  }
}

async function readTransactions(
  disk: Disk,
  root: string,
  journal: VerifiedLog,
  report: Report,
): Promise<Map<string, Known>> {
  const known = new Map<string, Known>();
  await walkJournal(disk, root, journal, (header, bytes, at) => {
    if (isControl(header)) return;
    try {
      for (const record of readRecords(bytes)) {
        const entry = TRANSACTION_RECORDS.decode(record);
        if (!entry) continue;
        const { transactionalId: id, stored } = entry;
        const before = known.get(id);
        if (!stored) {
          if (record.value) throw new Error(`a state of '${id}' that is none`);
          known.delete(id);
          continue;
        }
        const wrong = before && wrongBehind(before.stored, stored);
        if (wrong) {
          const meaning = 'a transaction was decided twice, or its producer was fenced by an older one';
          report({ severity: 'problem', ...at, what: `'${id}': ${wrong}`, meaning });
        }
        const isDecided = PREPARED.includes(stored.state);
        known.set(id, { stored, at, decided: isDecided ? stored : (before?.decided ?? null) });
      }
    } catch (error) {
      const what = `records that cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      report({
        severity: 'problem',
        ...at,
        what,
        meaning: 'transactions are forgotten; what they left open is aborted',
      });
    }
  });
  return known;
}

/** Records between the two may have been compacted away. Null when the second may follow. */
function wrongBehind(before: StoredTransaction, now: StoredTransaction): string | null {
  if (before.producerId !== now.producerId) return null;
  if (now.producerEpoch < before.producerEpoch) {
    return `epoch ${now.producerEpoch} of producer ${now.producerId} behind epoch ${before.producerEpoch}`;
  }
  const flips =
    now.producerEpoch === before.producerEpoch &&
    before.updatedAt === now.updatedAt &&
    ((before.state === 'PrepareCommit' && now.state === 'CompleteAbort') ||
      (before.state === 'PrepareAbort' && now.state === 'CompleteCommit'));
  return flips ? `${now.state} behind ${before.state}` : null;
}
