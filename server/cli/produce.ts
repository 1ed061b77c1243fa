import { addAbortSignal, PassThrough } from 'node:stream';
import { type OutgoingRecord, Producer } from '../../core/client/producer.ts';
import { type Command, EXIT, type Io, text, usageError, type Values, wholeNumber } from './command.ts';
import { linesOf } from './lines.ts';
import { BROKERS_OPTION } from './target.ts';
import { withCluster } from './with-cluster.ts';

/** No request holds a longer record by default (`network.max_request_bytes`). */
const MAX_LINE_BYTES = 100 * 1024 * 1024;

export const produce: Command = {
  usage: 'produce TOPIC [--key KEY | --key-separator TEXT] [--header NAME=VALUE ...] [--partition N] < LINES',
  summary: 'send each line of the standard input as a record, byte for byte',
  words: [1, 1],
  options: {
    ...BROKERS_OPTION,
    key: { type: 'string', short: 'k', help: 'the key of every record' },
    'key-separator': { type: 'string', help: 'a line is KEY, this text, VALUE' },
    header: { type: 'string', short: 'H', multiple: true, help: 'NAME=VALUE, on every record; may be repeated' },
    partition: { type: 'string', short: 'p', help: 'send to this partition' },
    compression: { type: 'string', help: 'none, gzip, snappy, lz4 or zstd' },
  },
  async run([topic = ''], values, io) {
    const { compression, toRecord } = settingsOf(values);
    if (io.isTerminal && (io.stdin as { isTTY?: boolean }).isTTY)
      io.err(`one record a line to ${topic}; ctrl-d ends\n`);
    const sent = await withCluster(values, io, async cluster => {
      const producer = new Producer(cluster, { compression });
      let count = 0;
      // A failed record ends the command at once instead of at the end of a long input.
      let failure: { error: unknown } | null = null;
      for await (const line of inputOf(io)) {
        if (failure) break;
        producer.send(topic, [toRecord(line)]).catch((error: unknown) => (failure ??= { error }));
        count++;
        await producer.ready();
      }
      await producer.flush().catch((error: unknown) => (failure ??= { error }));
      if (failure) throw (failure as { error: unknown }).error;
      await producer.close();
      return count;
    });
    io.err(`${sent} ${sent === 1 ? 'record' : 'records'} sent to ${topic}, acknowledged\n`);
    return EXIT.ok;
  },
};

/** Lines until the input or the command ends: ctrl-c must not wait for one more line. */
async function* inputOf({ stdin, signal }: Io): AsyncGenerator<Buffer> {
  const input = addAbortSignal(signal, new PassThrough());
  stdin.on('error', error => input.destroy(error));
  stdin.pipe(input);
  try {
    yield* linesOf(input, MAX_LINE_BYTES);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stdin.unpipe(input);
    stdin.pause();
  }
}

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;

function settingsOf(values: Values) {
  const codec = text(values, 'compression') ?? 'none';
  const compression = CODECS.find(each => each === codec);
  if (!compression) throw usageError(`--compression takes one of ${CODECS.join(', ')}, not "${codec}"`);
  const separator = text(values, 'key-separator');
  const key = text(values, 'key');
  if (separator === '') throw usageError('--key-separator takes a text of at least one character');
  if (separator !== undefined && key !== undefined) throw usageError('--key and --key-separator exclude each other');
  const partition = wholeNumber(values, 'partition', 0, 2 ** 31 - 1);
  const headers = ((values['header'] ?? []) as string[]).map(pair => {
    const at = pair.indexOf('=');
    if (at < 1) throw usageError(`--header takes NAME=VALUE, not "${pair}"`);
    return [pair.slice(0, at), Buffer.from(pair.slice(at + 1))] as const;
  });
  const parting = separator === undefined ? null : Buffer.from(separator);
  const ownKey = key === undefined ? null : Buffer.from(key);
  const toRecord = (line: Buffer): OutgoingRecord => {
    const at = parting ? line.indexOf(parting) : -1;
    const [found, value] =
      parting && at !== -1 ? [line.subarray(0, at), line.subarray(at + parting.length)] : [ownKey, line];
    return { key: found, value, headers, ...(partition === undefined ? {} : { partition }) };
  };
  return { compression, toRecord };
}
