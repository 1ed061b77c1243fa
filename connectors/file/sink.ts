import { z } from 'zod';
import { duration, size } from '../../core/base/units.ts';
import type {
  ConnectorContext,
  PartitionWriter,
  Reject,
  Row,
  RowBatch,
  Sink,
  SinkCaps,
  SinkConnector,
  SinkPartition,
  WriteResult,
} from '../runtime/contract.ts';
import { SinkError } from '../runtime/sink-error.ts';
import { FileLedger } from './ledger.ts';
import { LineBuffer } from './line-buffer.ts';
import { addLine, type LineFormat } from './line-format.ts';
import { Owners } from './owners.ts';
import { PathTemplate, PLACEHOLDERS, unknownPlaceholder } from './path-template.ts';

const config = z.strictObject({
  path: z
    .string()
    .min(1)
    .refine(template => unknownPlaceholder(template) === null, {
      error: issue =>
        `{${unknownPlaceholder(String(issue.input))}} is no placeholder; there are ${PLACEHOLDERS.map(name => `{${name}}`).join(' ')}`,
    })
    .describe('The file, relative to the project; {yyyy} {MM} {dd} {HH} come from the record timestamp (UTC)'),
  envelope: z
    .boolean()
    .default(false)
    .describe('Write topic, partition, offset, timestamp, key and headers beside the value'),
  rotate: z
    .strictObject({
      bytes: size({ min: 1 }).optional().describe('Rename the file once it is this long'),
      age: duration({ min: 1 }).optional().describe('Rename the file this long after it was opened'),
    })
    .optional()
    .describe('events.ndjson becomes events.000001.ndjson, and a new events.ndjson is begun'),
});

export type FileSinkConfig = z.output<typeof config>;

/** Small enough not to hold up the event loop, large enough to make the two syncs of a commit cheap. */
const JOINS = { rows: 4000, bytes: 1024 * 1024 };
/** A file is rotated between batches: those of smaller files stay as small as they are. */
const JOINS_FROM_ROTATION = 16 * 1024 * 1024;

/** `[sinks.NAME.file]`: newline-delimited JSON. A line is on disk before its position is committed, and what is on disk
 * without being committed is cut off before it is written again. */
export function fileSink(): SinkConnector<FileSinkConfig> {
  const owners = new Owners();
  return {
    type: 'file',
    description: 'Newline-delimited JSON files on this machine, with rotation',
    config,
    caps: ({ rotate }): SinkCaps => ({
      guarantee: 'exactly-once',
      commitsEach: true,
      exclusive: true,
      maxInFlight: 1,
      ...(rotate?.bytes === undefined || rotate.bytes >= JOINS_FROM_ROTATION ? { joins: JOINS } : {}),
      maxRows: 10_000,
      maxBytes: 16 * 1024 * 1024,
    }),
    open: async (options, context) => new FileSink(options, context, owners),
  };
}

class FileSink implements Sink {
  private readonly format: LineFormat;
  private readonly ledger: FileLedger;
  private readonly template: PathTemplate;

  constructor(options: FileSinkConfig, context: ConnectorContext, owners: Owners) {
    const { pipeline, name, baseDirectory, disk, clock, place } = context;
    const { bytes = null, age = null } = options.rotate ?? {};
    const rotation = { bytes, ageMs: age };
    this.format = options.envelope ? 'envelope' : 'value';
    this.template = new PathTemplate(options.path, baseDirectory);
    const owner = `${pipeline}/${name}`;
    this.ledger = new FileLedger({ owner, owners, baseDirectory, place, disk, clock, rotation });
  }

  async acquire(partition: SinkPartition): Promise<PartitionWriter> {
    try {
      await this.ledger.begin(partition.states);
    } catch (error) {
      throw diskError(error);
    }
    return new FileWriter(this.ledger, partition, rows => this.linesOf(rows));
  }

  close(): Promise<void> {
    return this.ledger.close();
  }

  private linesOf({ rows, sizeBytes }: RowBatch): Lines {
    const buffers = new Map<string, LineBuffer>();
    const rejected: Reject[] = [];
    rows.forEach((each, row) => {
      const { topic, partition, record } = placed(each);
      const path = this.template.of({ topic, partition, timestamp: record.timestamp });
      if (path === null) {
        rejected.push({
          row,
          code: 'BAD_TIMESTAMP',
          reason: `the timestamp ${record.timestamp} is no date for a path`,
        });
        return;
      }
      let out = buffers.get(path);
      // The first path of a batch is mostly its only one.
      if (!out) buffers.set(path, (out = new LineBuffer(buffers.size === 0 ? sizeBytes + rows.length : 0)));
      addLine(out, topic, partition, record, this.format);
    });
    return { byPath: new Map([...buffers].map(([path, out]) => [path, out.bytes()])), rejected };
  }
}

interface Lines {
  byPath: Map<string, Uint8Array>;
  rejected: Reject[];
}

/** One partition's part in the files: it has the turn from an append to the commit. */
class FileWriter implements PartitionWriter {
  private readonly ledger: FileLedger;
  private readonly partition: SinkPartition;
  private readonly linesOf: (batch: RowBatch) => Lines;
  private endTurn: (() => void) | null = null;
  /** The last commit is settled, and the turn was given. */
  private settled: Promise<void> = Promise.resolve();

  constructor(ledger: FileLedger, partition: SinkPartition, linesOf: (batch: RowBatch) => Lines) {
    this.ledger = ledger;
    this.partition = partition;
    this.linesOf = linesOf;
    ledger.join(partition);
  }

  /** When the turn is still ours, an acknowledgement was lost on its way: the ledger takes back what it was for. */
  async write(batch: RowBatch, signal: AbortSignal): Promise<WriteResult> {
    const { byPath, rejected } = this.linesOf(batch);
    const result = rejected.length > 0 ? { rejected } : {};
    if (byPath.size === 0) return result;
    await this.settled;
    this.endTurn ??= await this.ledger.turn(signal);
    if (!this.endTurn) throw new SinkError('transient', 'STOPPED', 'the sink stops');
    try {
      return { ...result, state: await this.ledger.append(byPath, this.partition) };
    } catch (error) {
      this.giveTurn();
      throw diskError(error);
    }
  }

  committed(): void {
    if (!this.endTurn) return;
    this.ledger.settle(this.partition);
    this.settled = this.ledger.keep().finally(() => this.giveTurn());
  }

  async close(): Promise<void> {
    this.ledger.leave(this.partition);
    await this.settled;
    if (!this.endTurn) return;
    try {
      await this.ledger.lose(this.partition.states);
    } finally {
      this.giveTurn();
    }
  }

  private giveTurn(): void {
    this.endTurn?.();
    this.endTurn = null;
  }
}

/** A replayed record goes where it would have gone, with the names it would have had. */
const placed = ({ origin, ...row }: Row): Row =>
  origin ? { ...origin, record: { ...row.record, offset: origin.offset } } : row;

const HELP: Record<string, [code: string, message: string]> = {
  ENOSPC: ['DISK_FULL', 'the disk is full'],
  EDQUOT: ['DISK_FULL', 'the disk quota is used up'],
  EACCES: ['PERMISSION_DENIED', 'this process may not write there'],
  EPERM: ['PERMISSION_DENIED', 'this process may not write there'],
  EROFS: ['PERMISSION_DENIED', 'the file system is read-only'],
};

/** Whatever the disk says is waited out: it is never the record's fault. */
function diskError(thrown: unknown): unknown {
  if (thrown instanceof SinkError) return thrown;
  const system = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'DISK_ERROR';
  const [code, what] = HELP[system] ?? [system, 'the file cannot be written'];
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return new SinkError('transient', code, `${what}: ${detail}`, { cause: thrown });
}
