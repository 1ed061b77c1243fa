import type { Disk } from '../base/disk.ts';
import { MillstreamError } from '../base/errors.ts';
import { makeDirectoryDurably } from '../base/make-directory.ts';
import { readFile } from '../base/read-file.ts';
import { writeWhole } from '../base/write-whole.ts';

/*
 * What the broker knows beside the logs: one JSON file `catalogue.json`, replaced as a whole (written beside it,
 * synced, renamed, folder synced), so that a crash leaves the old one or the new one.
 *
 *   { "version": 1, "clusterId": "...", "nextProducerId": 1000,
 *     "topics": [{ "name", "id": 32 hex digits, "partitions", "configs": {...}, "internal" }],
 *     "deleting": [{ "name", "id", "partitions" }] }          their logs may still lie on disk
 */
const FILE = 'catalogue.json';

export interface CatalogueTopic {
  name: string;
  /** 32 hex digits. */
  id: string;
  partitions: number;
  /** Only what the topic sets itself. */
  configs: Record<string, string>;
  internal: boolean;
}

export interface DeletedTopic {
  name: string;
  id: string;
  partitions: number;
}

interface Content {
  version: 1;
  clusterId: string;
  nextProducerId: number;
  topics: CatalogueTopic[];
  deleting: DeletedTopic[];
}

/** Change the fields, then `save`; the change counts once `save` has resolved. */
export class Catalogue {
  readonly topics = new Map<string, CatalogueTopic>();
  readonly deleting = new Map<string, DeletedTopic>();
  clusterId: string;
  nextProducerId = 0;
  /** False when the directory held no catalogue. */
  readonly existed: boolean;
  private readonly disk: Disk;
  private readonly directory: string;
  /** The write in progress, and the one behind it that covers every later change. */
  private running: Promise<void> | null = null;
  private next: Promise<void> | null = null;

  private constructor(disk: Disk, directory: string, content: Content | null, newClusterId: string) {
    this.disk = disk;
    this.directory = directory;
    this.existed = content !== null;
    this.clusterId = content?.clusterId ?? newClusterId;
    this.nextProducerId = content?.nextProducerId ?? 0;
    for (const topic of content?.topics ?? []) this.topics.set(topic.name, topic);
    for (const topic of content?.deleting ?? []) this.deleting.set(topic.id, topic);
  }

  /** Kind `data`, code CORRUPT_CATALOGUE when the file does not parse. */
  static async open(disk: Disk, directory: string, newClusterId: string): Promise<Catalogue> {
    await makeDirectoryDurably(disk, directory);
    // A process that was killed may have left the newest in memory only, and what is read here is acted upon.
    await disk.syncDirectory(directory);
    return new Catalogue(disk, directory, await readContent(disk, `${directory}/${FILE}`), newClusterId);
  }

  /** Resolves when everything changed before the call is durable. Calls in flight together share one write. */
  save(): Promise<void> {
    if (!this.running && !this.next) return this.start();
    this.next ??= (this.running ?? Promise.resolve()).then(
      () => this.start(),
      () => this.start(),
    );
    return this.next;
  }

  private start(): Promise<void> {
    this.next = null;
    this.running = this.write().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  private async write(): Promise<void> {
    const content: Content = {
      version: 1,
      clusterId: this.clusterId,
      nextProducerId: this.nextProducerId,
      topics: [...this.topics.values()],
      deleting: [...this.deleting.values()],
    };
    const bytes = Buffer.from(`${JSON.stringify(content, null, 1)}\n`);
    await writeWhole(this.disk, this.directory, FILE, bytes);
  }
}

async function readContent(disk: Disk, path: string): Promise<Content | null> {
  if (!(await disk.exists(path))) return null;
  const bytes = await readFile(disk, path);
  try {
    const content = JSON.parse(bytes.toString()) as Content;
    if (content.version !== 1 || !Array.isArray(content.topics)) throw new Error('it is not of version 1');
    return content;
  } catch (error) {
    throw new MillstreamError('data', 'CORRUPT_CATALOGUE', `The topic catalogue ${path} cannot be read.`, {
      cause: error,
      help: 'Put back a copy of it, or remove it: topics are then found again from their logs, with default settings.',
    });
  }
}
