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
  WriteResult,
} from '../runtime/contract.ts';
import { SinkError } from '../runtime/sink-error.ts';
import type { LineFile } from './line-file.ts';
import { LineBuffer } from './line-buffer.ts';
import { addLine } from './line-format.ts';
import { OpenFiles } from './open-files.ts';
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

/** `[sinks.NAME.file]`: newline-delimited JSON. A line is acknowledged once it is on disk. */
export function fileSink(): SinkConnector<FileSinkConfig> {
  const files = new OpenFiles();
  return {
    type: 'file',
    description: 'Newline-delimited JSON files on this machine, with rotation',
    config,
    caps: (): SinkCaps => ({
      guarantee: 'at-least-once',
      // One batch at a time keeps each partition's lines in order, also after a failure.
      maxInFlight: 1,
      maxRows: 10_000,
      maxBytes: 16 * 1024 * 1024,
    }),
    open: async (options, context) => new FileSink(options, context, files),
  };
}

class FileSink implements Sink {
  private readonly config: FileSinkConfig;
  private readonly context: ConnectorContext;
  private readonly files: OpenFiles;
  private readonly template: PathTemplate;

  constructor(options: FileSinkConfig, context: ConnectorContext, files: OpenFiles) {
    this.config = options;
    this.context = context;
    this.files = files;
    this.template = new PathTemplate(options.path, context.baseDirectory);
  }

  async acquire(): Promise<PartitionWriter> {
    return { write: batch => this.write(batch), close: async () => {} };
  }

  close(): Promise<void> {
    return this.files.release(this);
  }

  private async write({ rows, sizeBytes }: RowBatch): Promise<WriteResult> {
    const lines = new Map<string, LineBuffer>();
    const rejected: Reject[] = [];
    const format = this.config.envelope ? 'envelope' : 'value';
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
      let out = lines.get(path);
      // The first path of a batch is mostly its only one.
      if (!out) lines.set(path, (out = new LineBuffer(lines.size === 0 ? sizeBytes + rows.length : 0)));
      addLine(out, topic, partition, record, format);
    });
    try {
      await Promise.all([...lines].map(async ([path, out]) => this.fileAt(path).append(out.bytes())));
    } catch (error) {
      throw diskError(error);
    }
    await this.files.closeUnused();
    return rejected.length > 0 ? { rejected } : {};
  }

  private fileAt(path: string): LineFile {
    const { pipeline, name, disk, clock } = this.context;
    const { bytes = null, age = null } = this.config.rotate ?? {};
    return this.files.take(path, `${pipeline}/${name}`, this, disk, clock, { bytes, ageMs: age });
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
