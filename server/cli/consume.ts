import { type ConsumedRecord, consume as consumeTopic } from '../../core/client/consumer.ts';
import type { Cluster } from '../../core/client/cluster.ts';
import { consumeGroup } from '../../core/client/group-consumer.ts';
import type { Isolation } from '../../core/client/list-offsets.ts';
import { toJson } from '../api/http/record-json.ts';
import { type Command, EXIT, type Io, text, usageError, type Values, wholeNumber } from './command.ts';
import { BROKERS_OPTION } from './target.ts';
import { withCluster } from './with-cluster.ts';

export const consume: Command = {
  usage:
    'consume TOPIC [--from earliest|latest|OFFSET] [--exit-at-end] [--limit N] [--group GROUP] [--isolation LEVEL] [--json]',
  summary: 'print the values of records, one a line',
  words: [1, 1],
  options: {
    ...BROKERS_OPTION,
    from: { type: 'string', help: 'earliest, latest (the default) or an offset' },
    'exit-at-end': { type: 'boolean', short: 'e', help: 'end when everything that was there has been printed' },
    limit: { type: 'string', short: 'n', help: 'end after this many records' },
    partition: { type: 'string', short: 'p', help: 'only this partition' },
    group: { type: 'string', short: 'g', help: 'read as a member of this group and commit positions' },
    isolation: {
      type: 'string',
      help: 'read_committed (the default), or read_uncommitted: also records of open and aborted transactions',
    },
    json: { type: 'boolean', help: 'one JSON object a record: partition, offset, key, headers, value, timestamp' },
  },
  async run([topic = ''], values, io) {
    const limit = wholeNumber(values, 'limit', 1, Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY;
    const line = values['json'] === true ? jsonLine : valueLine;
    if (io.isTerminal && text(values, 'from') === undefined && values['exit-at-end'] !== true) {
      io.err(`new records of ${topic} appear here, ctrl-c ends; --from earliest prints what is there too\n`);
    }
    let printed = 0;
    await withCluster(values, io, async cluster => {
      for await (const records of recordsOf(cluster, topic, values, io)) {
        const wanted = records.slice(0, limit - printed);
        io.out(Buffer.concat(wanted.flatMap(line)));
        printed += wanted.length;
        await io.drained();
        if (printed >= limit || io.signal.aborted) break;
      }
    });
    if (printed === 0 && values['exit-at-end'] === true && text(values, 'from') === undefined) {
      io.err('nothing new; --from earliest prints what is there\n');
    }
    return EXIT.ok;
  },
};

function recordsOf(
  cluster: Cluster,
  topic: string,
  values: Values,
  io: Io,
): AsyncGenerator<ConsumedRecord[], void, void> {
  const from = fromOf(values);
  const isolation = isolationOf(values);
  const exitAtEnd = values['exit-at-end'] === true;
  const group = text(values, 'group');
  const partition = wholeNumber(values, 'partition', 0, 2 ** 31 - 1);
  if (group === undefined) {
    const partitions = partition === undefined ? {} : { partitions: [partition] };
    return consumeTopic(cluster, { topic, from, exitAtEnd, isolation, signal: io.signal, ...partitions });
  }
  if (typeof from === 'number' || partition !== undefined) {
    throw usageError(
      'a group reads all partitions from its positions: --group goes with --from earliest or latest only',
    );
  }
  return consumeGroup(cluster, { group, topics: [topic], from, exitAtEnd, isolation, signal: io.signal });
}

function isolationOf(values: Values): Isolation {
  const isolation = text(values, 'isolation') ?? 'read_committed';
  if (isolation === 'read_committed' || isolation === 'read_uncommitted') return isolation;
  throw usageError(`--isolation takes read_committed or read_uncommitted, not "${isolation}"`);
}

function fromOf(values: Values): 'earliest' | 'latest' | number {
  const from = text(values, 'from') ?? 'latest';
  if (from === 'earliest' || from === 'latest') return from;
  const offset = Number(from);
  if (Number.isSafeInteger(offset) && offset >= 0) return offset;
  throw usageError(`--from takes earliest, latest or an offset, not "${from}"`);
}

const NEWLINE = Buffer.from('\n');

const jsonLine = (record: ConsumedRecord): Uint8Array[] => [
  Buffer.from(JSON.stringify(toJson(record, record.partition))),
  NEWLINE,
];

/** The bytes as they are, whatever they are. */
const valueLine = ({ value }: ConsumedRecord): Uint8Array[] => (value === null ? [NEWLINE] : [value, NEWLINE]);
