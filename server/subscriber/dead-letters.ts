import { dirname, join } from 'node:path';
import { addLine } from '../../connectors/file/line-format.ts';
import { LineBuffer } from '../../connectors/file/line-buffer.ts';
import type { Rejected } from '../../connectors/runtime/deliver.ts';
import { sinkLetter } from '../../connectors/runtime/letters.ts';
import type { Clock } from '../../core/base/clock.ts';
import type { Disk, DiskFile } from '../../core/base/disk.ts';
import { MillstreamError } from '../../core/base/errors.ts';
import { makeDirectoryDurably } from '../../core/base/make-directory.ts';
import type { Logger } from '../../core/base/logger.ts';
import type { Lease } from '../../core/engine/engine.ts';

/** Where refused rows go that no topic takes. Resolves when they are kept, before the position moves past them; called
 * again with the same rows after an error. */
export type KeepRefused = (lease: Lease, rejected: readonly Rejected[]) => Promise<void>;

export function dropRefused(): KeepRefused {
  return async () => {};
}

/** One error line a row, with what was refused and why. */
export function logRefused(logger: Logger): KeepRefused {
  return async ({ topic, partition }, rejected) => {
    for (const { record, code, reason } of rejected) {
      const value = record.value && Buffer.from(record.value.subarray(0, 1024)).toString();
      logger.error('a row was refused', { topic, partition, offset: record.offset, code, reason, value });
    }
  };
}

/**
 * One line of JSON a row, as the dead letters of pipelines have it, on disk when it resolves. A crash between the file
 * and the commit of the position writes a line again: its `id` is the same.
 */
export class RefusedFile {
  private readonly path: string;
  private readonly name: { pipeline: string; name: string };
  private readonly disk: Disk;
  private readonly clock: Clock;
  private file: DiskFile | null = null;
  private end = 0;
  private tail: Promise<void> = Promise.resolve();

  constructor(path: string, name: { pipeline: string; name: string }, disk: Disk, clock: Clock) {
    this.path = path;
    this.name = name;
    this.disk = disk;
    this.clock = clock;
  }

  readonly keep: KeepRefused = (lease, rejected) => {
    const out = new LineBuffer(0);
    for (const each of rejected) {
      const made = sinkLetter(this.name, lease, each, this.clock.now(), null);
      const letter = { ...each.record, ...made, headers: made.headers ?? [] };
      addLine(out, lease.topic, lease.partition, letter, 'envelope');
    }
    const done = this.tail.then(() => this.append(out.bytes()));
    this.tail = done.catch(() => {});
    return done.catch((error: unknown) => {
      throw new MillstreamError('unavailable', 'DEAD_LETTER_FILE', `${this.path} cannot be written`, { cause: error });
    });
  };

  async close(): Promise<void> {
    await this.tail;
    await this.file?.close();
    this.file = null;
  }

  private async append(lines: Uint8Array): Promise<void> {
    this.file ??= await this.open();
    // A part that an error left there is written over.
    for (let at = 0; at < lines.length; ) at += await this.file.write([lines.subarray(at)], this.end + at);
    await this.file.datasync();
    this.end += lines.length;
  }

  private async open(): Promise<DiskFile> {
    const directory = dirname(this.path);
    await makeDirectoryDurably(this.disk, directory);
    const file = await this.disk.open(this.path, 'create');
    this.end = await file.size();
    await this.disk.syncDirectory(directory);
    return file;
  }
}

export const refusedFileOf = (baseDirectory: string, topic: string): string =>
  join(baseDirectory, 'dead-letter', `${topic}.ndjson`);
