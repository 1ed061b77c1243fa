/** kcat (librdkafka of the distribution). One process writes one record from a file, or many lines from its input. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOk } from '../../servers/process.ts';
import { type Client, CODECS, type ReadRecord } from './client.ts';

export function kcatClient(kcat: string, bootstrap: string): Client {
  return {
    name: 'kcat',
    // Keys and headers are command line arguments; -Z writes every empty value as null.
    write: { textOnly: true, noEmpty: true, noNullHeaders: true, noTimestamps: true },
    // %h prints headers as text, name=value, separated by commas.
    read: { textOnly: true },
    codecs: CODECS,

    async produce(topic, records, { codec = 'none', idempotent = false, acks = -1 } = {}) {
      const folder = mkdtempSync(join(tmpdir(), 'kcat-'));
      try {
        for (const record of records) {
          const file = join(folder, 'value');
          writeFileSync(file, record.value ?? '');
          const args = ['-P', '-b', bootstrap, '-t', topic, '-p', String(record.partition ?? 0), '-z', codec];
          args.push('-X', `acks=${acks}`, '-X', `enable.idempotence=${idempotent}`, '-X', 'message.max.bytes=12000000');
          for (const [name, value] of record.headers) args.push('-H', `${name}=${value?.toString('latin1')}`);
          // A file is sent whole as one record. Only a line without anything after the key becomes a null value.
          if (record.value !== null) {
            if (record.key !== null) args.push('-k', record.key.toString('latin1'));
            await runOk(kcat, [...args, file]);
          } else {
            await runOk(kcat, [...args, '-Z', '-K', '\t'], { stdin: `${record.key?.toString('latin1') ?? ''}\t\n` });
          }
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },

    async consume(topics) {
      const results = new Map<string, ReadRecord[]>();
      for (const { topic, count } of topics) {
        // Lengths first, then the bytes; a length of -1 is null.
        const format = '%p %o %T %K %S %k%s%h\\n';
        const args = ['-C', '-q', '-b', bootstrap, '-t', topic, '-o', 'beginning', '-c', String(count), '-f', format];
        args.push('-X', 'fetch.message.max.bytes=12000000', '-X', 'receive.message.max.bytes=120000000');
        results.set(topic, parse((await runOk(kcat, args, { timeoutMs: 30_000 })).stdout));
      }
      return results;
    },
  };
}

function parse(output: Buffer): ReadRecord[] {
  const records: ReadRecord[] = [];
  let at = 0;
  const number = (): number => {
    const end = output.indexOf(0x20, at);
    const value = Number(output.toString('latin1', at, end));
    at = end + 1;
    return value;
  };
  const bytes = (length: number): Buffer | null => {
    if (length < 0) return null;
    at += length;
    return output.subarray(at - length, at);
  };
  while (at < output.length) {
    const [partition, offset, timestamp, keyLength, valueLength] = [number(), number(), number(), number(), number()];
    const key = bytes(keyLength ?? -1);
    const value = bytes(valueLength ?? -1);
    const end = output.indexOf(0x0a, at);
    const text = output.toString('latin1', at, end);
    at = end + 1;
    const headers =
      text === ''
        ? []
        : text.split(',').map((pair): [string, Buffer | null] => {
            const [name = '', content = ''] = pair.split('=');
            return [name, content === 'NULL' ? null : Buffer.from(content, 'latin1')];
          });
    records.push({ partition: partition ?? 0, offset: offset ?? 0, timestamp: timestamp ?? 0, key, value, headers });
  }
  return records;
}
