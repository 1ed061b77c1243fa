import { join } from 'node:path';
import { asMillstreamError } from '../../core/base/errors.ts';
import { type ConsumedRecord, consume } from '../../core/client/consumer.ts';
import { TopicAdmin } from '../../core/client/topic-admin.ts';
import type { Lane, Sandbox } from '../../etl/sandbox/sandbox.ts';
import { freshModule, type ModuleFolder, moduleFolders, sourcesChanged } from '../modules/project-modules.ts';
import { openModule, type RecordResult, runRecords } from '../modules/run-module.ts';
import { saveCase } from '../modules/save-case.ts';
import { requireSettings } from '../settings.ts';
import { type Change, changesOf } from './changes.ts';
import { type Command, EXIT, type Io, text, usageError, type Values, wholeNumber } from './command.ts';
import { configOf, errorLogger, resultLines, withSandbox } from './module-results.ts';
import { BROKERS_OPTION } from './target.ts';
import { withCluster } from './with-cluster.ts';

const LOOK_EVERY_MS = 150;
const KEYS = 'keys: 1-9 save that record as a case, r reads the newest records, q ends';

export const dev: Command = {
  usage: 'module dev NAME --topic TOPIC [--records N] [--with JSON]',
  summary: 'rebuild a module whenever it is saved, and show what it makes of the last records of a topic',
  words: [1, 1],
  options: {
    ...BROKERS_OPTION,
    topic: { type: 'string', short: 't', help: 'where the records come from' },
    records: { type: 'string', short: 'n', help: 'so many, the newest (default: 5)' },
    with: { type: 'string', help: "the step's config, as JSON" },
  },
  async run(words, values, io) {
    const topic = text(values, 'topic');
    if (topic === undefined) throw usageError('module dev needs --topic: where the records come from');
    const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
    const [where] = moduleFolders(settings, words) as [ModuleFolder];
    const count = wholeNumber(values, 'records', 1, 1000) ?? 5;
    const read = (): Promise<ConsumedRecord[]> => newest(topic, count, values, io);
    return withSandbox(errorLogger(io), sandbox => new Session(sandbox, where, configOf(values), read, io).run());
  },
};

/** One run of the command: what was last built, read and shown. */
class Session {
  private readonly sandbox: Sandbox;
  private readonly where: ModuleFolder;
  private readonly config: unknown;
  private readonly read: () => Promise<ConsumedRecord[]>;
  private readonly io: Io;
  private records: ConsumedRecord[] = [];
  private results: RecordResult[] = [];
  private shown: string[] = [];

  constructor(sandbox: Sandbox, where: ModuleFolder, config: unknown, read: () => Promise<ConsumedRecord[]>, io: Io) {
    this.sandbox = sandbox;
    this.where = where;
    this.config = config;
    this.read = read;
    this.io = io;
  }

  async run(): Promise<number> {
    const { io, where } = this;
    const keys: string[] = [];
    const raw = io.isTerminal && 'setRawMode' in io.stdin ? (io.stdin as NodeJS.ReadStream) : null;
    raw?.setRawMode(true);
    io.stdin.on('data', (chunk: Buffer | string) => void keys.push(...chunk.toString().split('')));
    try {
      this.records = await this.read();
      let seen = -1;
      while (!io.signal.aborted) {
        const changed = sourcesChanged(where.folder);
        if (changed !== seen) {
          seen = changed;
          await this.rebuild();
        }
        const key = keys.shift();
        if (key === 'q' || key === '\u0003' || key === '\u0004') break;
        if (key === 'r') await this.again();
        else if (key !== undefined && key >= '1' && key <= '9') this.save(Number(key) - 1);
        else await new Promise(resolve => setTimeout(resolve, LOOK_EVERY_MS));
      }
      return EXIT.ok;
    } finally {
      raw?.setRawMode(false);
      io.stdin.removeAllListeners('data');
      io.stdin.pause();
    }
  }

  private async again(): Promise<void> {
    this.records = await this.read();
    this.shown = [];
    await this.rebuild();
  }

  /** Shows every record the first time, afterwards those of which something else becomes now. */
  private async rebuild(): Promise<void> {
    const { io, where, records } = this;
    try {
      const started = performance.now();
      const module = await freshModule(where);
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      const outputs = ['default'];
      const lane = openModule(this.sandbox, { module, config: this.config, outputs, traces: true });
      const { results, nanoseconds } = await this.through(lane, outputs);
      this.results = results;
      const lines = results.map((result, i) => describe(records[i] as ConsumedRecord, result));
      const fresh = lines.flatMap((line, i) => (line === this.shown[i] ? [] : [`${i + 1}  ${line}`]));
      this.shown = lines;
      const each = records.length === 0 ? 'no records' : `${Math.round(nanoseconds / records.length)} ns a record`;
      io.out(`${where.shown} ready in ${seconds} s, ${each}, ${fresh.length} of ${records.length} changed\n`);
      io.out(fresh.join(''));
      io.err(`${KEYS}\n`);
    } catch (error) {
      io.err(`${asMillstreamError(error).message}\n`);
    }
  }

  private async through(lane: Lane, outputs: string[]): ReturnType<typeof runRecords> {
    try {
      return await runRecords(lane, outputs, this.records, this.records.length || 1);
    } finally {
      await lane.close();
    }
  }

  private save(index: number): void {
    const { io, records, results, where } = this;
    const record = records[index];
    const result = results[index];
    if (!record || !result) {
      io.err(`there is no record ${index + 1}\n`);
      return;
    }
    const name = `${record.topic}/${record.partition}@${record.offset}`;
    saveCase(join(where.folder, 'cases.toml'), name, this.config, record, result);
    io.out(`saved as case "${name}" in ${where.shown}/cases.toml\n`);
  }
}

/** Where it lies, and what became of it: the changes of the value, or the whole. */
function describe(record: ConsumedRecord, result: RecordResult): string {
  const place = `${record.topic}/${record.partition}@${record.offset}`;
  const [only] = result.emitted;
  if (result.failed || !only || result.emitted.length > 1)
    return `${place}\n${resultLines(result).replace(/^/gm, '   ').trimEnd()}\n`;
  const changes = changesOf(sampleOf(record), sampleOf(only.record));
  const lines = changes.map(
    ({ what, before, after }: Change) => `   ${what}  ${before ?? '(none)'} -> ${after ?? '(gone)'}`,
  );
  return [place, ...(lines.length > 0 ? lines : ['   unchanged'])].join('\n').concat('\n');
}

function sampleOf({ key, value, headers }: Pick<ConsumedRecord, 'key' | 'value' | 'headers'>) {
  const textOf = (bytes: Uint8Array | null): string | null => bytes && Buffer.from(bytes).toString();
  return {
    key: textOf(key),
    value: textOf(value),
    headers: Object.fromEntries(headers.map(([name, each]) => [name, textOf(each)])),
  };
}

/** The newest records of a topic, over all partitions, the oldest of them first. */
async function newest(topic: string, count: number, values: Values, io: Io): Promise<ConsumedRecord[]> {
  return withCluster(values, io, async cluster => {
    const { partitions } = await new TopicAdmin(cluster).describe(topic);
    const found: ConsumedRecord[] = [];
    for (const { partition, startOffset, endOffset } of partitions) {
      if (endOffset <= startOffset) continue;
      const from = Math.max(startOffset, endOffset - count);
      const options = { topic, partitions: [partition], from, exitAtEnd: true, signal: io.signal };
      for await (const records of consume(cluster, options)) found.push(...records);
    }
    return found.toSorted((a, b) => a.timestamp - b.timestamp || a.offset - b.offset).slice(-count);
  });
}
