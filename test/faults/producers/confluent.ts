/** confluent-kafka (librdkafka) with idempotence on, in a Python process of its own. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ended } from '../../servers/process.ts';
import type { Producer } from './producer.ts';

const script = fileURLToPath(new URL('../python/producer.py', import.meta.url));

export function startConfluent(
  python: string,
  bootstrap: string,
  topic: string,
  partitions: number,
  firstPartition = 0,
): Promise<Producer> {
  const child = spawn(python, [script, JSON.stringify({ bootstrap, topic, partitions, firstPartition })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const producer: Producer = {
    name: 'confluent-kafka',
    topic,
    firstPartition,
    partitions,
    acked: new Array<number>(partitions).fill(0),
    unknown: Array.from({ length: partitions }, () => new Set<number>()),
    violation: undefined,
    async finish() {
      child.stdin.end();
      const code = await ended(child);
      await closed;
      if (code !== 0) producer.violation ??= `the client ended with ${code}`;
    },
  };
  const lines = createInterface({ input: child.stdout });
  const closed = new Promise<void>(resolve => lines.once('close', resolve));
  lines.on('line', line => {
    if (line.startsWith('fatal')) {
      producer.violation ??= line;
      return;
    }
    const [partition = 0, acked = 0] = line.split(' ').map(Number);
    producer.acked[partition] = acked;
  });
  return Promise.resolve(producer);
}
