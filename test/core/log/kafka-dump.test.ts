import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CODECS } from '../../../core/log/batch.ts';
import { appendValues, CONFIG, ID, openStore, readValues, temporaryDirectory } from './harness.ts';

/*
 * Kafka's own tool judges our files. Needs Java and the folder of Kafka's jars in KAFKA_LIBS; else this is skipped.
 */
const LIBS = process.env['KAFKA_LIBS'] ?? '';
const hasKafka = LIBS !== '' && existsSync(LIBS);
if (!hasKafka) process.stdout.write('kafka-dump.test.ts is skipped: KAFKA_LIBS does not name a folder of jars\n');

describe.skipIf(!hasKafka)("Kafka's dump tool", () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let folder: string;
  const values: string[] = [];

  beforeAll(async () => {
    directory = await temporaryDirectory();
    folder = join(directory.path, 'orders-0');
    const config = { ...CONFIG, segmentBytes: 64 * 1024 };
    // The middle life ends without a clean stop.
    for (let life = 0; life < 3; life++) {
      const store = await openStore(directory.path);
      const log = await store.open(ID, config);
      for (let i = 0; i < 120; i++) {
        const some = Array.from({ length: 1 + (i % 5) }, (_, n) => `${life}/${i}/${n} ${'x'.repeat((i * 37) % 900)}`);
        values.push(...some);
        const codec = CODECS[i % CODECS.length] ?? 'none';
        await appendValues(log, some, { codec, timestamp: 1_700_000_000_000 + ((i * 7919) % 1000) }).durable;
      }
      if (life !== 1) await store.close();
      else expect(await readValues(log)).toHaveLength(values.length);
    }
  }, 60_000);
  afterAll(() => directory.cleanUp());

  const dump = async (...options: string[]): Promise<string> => {
    const args = ['-cp', `${LIBS}/*`, 'org.apache.kafka.tools.DumpLogSegments', ...options];
    try {
      return (await promisify(execFile)('java', args, { maxBuffer: 64 * 1024 * 1024 })).stdout;
    } catch (error) {
      // Kafka moved the tool between packages.
      if (!String(error).includes('ClassNotFoundException')) throw error;
      args[2] = 'kafka.tools.DumpLogSegments';
      return (await promisify(execFile)('java', args, { maxBuffer: 64 * 1024 * 1024 })).stdout;
    }
  };
  const files = (suffix: string): string =>
    readdirSync(folder)
      .filter(name => name.endsWith(suffix))
      .toSorted()
      .map(name => join(folder, name))
      .join(',');

  test('reads every record of every segment', async () => {
    const text = await dump('--deep-iteration', '--print-data-log', '--files', files('.log'));
    const offsets = [...text.matchAll(/^\| offset: (\d+) /gm)].map(match => Number(match[1]));
    expect(offsets).toEqual(values.map((_, i) => i));
    expect([...text.matchAll(/payload: (.*)$/gm)].map(match => match[1])).toEqual(values);
    expect(text).not.toMatch(/isvalid: false|Found invalid|Non-consecutive/i);
  }, 60_000);

  test('finds both indexes right', async () => {
    const text = await dump('--verify-index-only', '--files', `${files('.index')},${files('.timeindex')}`);
    expect(text).toContain('.index');
    expect(text).not.toMatch(/mismatch|out of order|not found|could not/i);
  }, 60_000);
});
