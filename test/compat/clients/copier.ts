/**
 * Transactional copiers of several clients. Each copies a topic in transactions of up to five records, aborts every
 * third and copies those records again; at last it leaves a transaction open and is fenced by a successor.
 */
import { Producer } from '@platformatic/kafka';
import { runOk } from '../../servers/process.ts';
import { requireTool } from '../../servers/tools.ts';
import { bytesIn } from './platformatic.ts';
import { runPython } from './confluent.ts';
import { file, JVM, QUIET } from './java.ts';
import { kafkajsFor } from './kafkajs.ts';

export interface CopyJob {
  bootstrap: string;
  from: string;
  to: string;
  /** Also the transactional id. */
  group: string;
  count: number;
}

export interface Copied {
  copied: number;
  /** The predecessor's commit was refused. */
  fenced: boolean;
}

export interface Copier {
  name: string;
  /** It commits positions with its transactions. */
  positions: boolean;
  run(job: CopyJob): Promise<Copied>;
}

export function copiers(): Copier[] {
  const found = [kafkajsCopier, platformaticCopier];
  const python = requireTool('confluent');
  if (python !== null) {
    found.push({ name: 'confluent-kafka', positions: true, run: job => runPython(python, 'transactions.py', job) });
  }
  const classPath = requireTool('kafka');
  if (classPath !== null) found.push(javaCopier(classPath));
  return found;
}

function javaCopier(classPath: string): Copier {
  return {
    name: 'Java',
    positions: true,
    async run({ bootstrap, from, to, group, count }) {
      const program = [...JVM, QUIET, '-cp', classPath, file('Transactions.java')];
      const ran = await runOk('java', [...program, bootstrap, from, to, group, String(count)], { timeoutMs: 60_000 });
      return JSON.parse(ran.stdout.toString()) as Copied;
    },
  };
}

const wasRefused = (commit: Promise<unknown>): Promise<boolean> =>
  commit.then(
    () => false,
    () => true,
  );

const kafkajsCopier: Copier = {
  name: 'kafkajs',
  positions: true,
  async run({ bootstrap, from, to, group, count }) {
    const kafka = kafkajsFor(bootstrap);
    const first = kafka.producer({ transactionalId: group, idempotent: true, maxInFlightRequests: 1 });
    await first.connect();
    // It is fed by hand: kafkajs cannot be sent back to a position inside a running batch.
    const values = Array.from({ length: count }, (_, i) => `record ${i}`);
    let copied = 0;
    for (let transactions = 1; copied < count; transactions++) {
      const part = values.slice(copied, copied + 5);
      const transaction = await first.transaction();
      await transaction.send({ topic: to, messages: part.map(value => ({ key: value, value })) });
      const partitions = [{ partition: 0, offset: String(copied + part.length) }];
      await transaction.sendOffsets({ consumerGroupId: group, topics: [{ topic: from, partitions }] });
      if (transactions % 3 === 0) {
        await transaction.abort();
      } else {
        await transaction.commit();
        copied += part.length;
      }
    }
    const open = await first.transaction();
    await open.send({ topic: to, messages: [{ value: 'zombie' }] });
    const second = kafka.producer({ transactionalId: group, idempotent: true, maxInFlightRequests: 1 });
    await second.connect();
    const last = await second.transaction();
    const fenced = await wasRefused(open.commit());
    await last.send({ topic: to, messages: [{ value: 'last' }] });
    await last.commit();
    await Promise.all([first.disconnect(), second.disconnect()]);
    return { copied, fenced };
  },
};

const platformaticCopier: Copier = {
  name: '@platformatic/kafka',
  positions: false,
  async run({ bootstrap, to, group, count }) {
    // Left out, they go out as 0 and 0, which names a producer: brokers refuse that once the id has another one.
    const nobody = { producerId: -1n, producerEpoch: -1 };
    const base = { clientId: 'compat', bootstrapBrokers: [bootstrap], idempotent: true, retries: 0, ...nobody };
    const open = () => new Producer({ ...base, transactionalId: group, serializers: bytesIn });
    const first = open();
    const messages = (values: string[]) => values.map(value => ({ topic: to, value: Buffer.from(value) }));
    const values = Array.from({ length: count }, (_, i) => `record ${i}`);
    let copied = 0;
    for (let transactions = 1; copied < count; transactions++) {
      const part = values.slice(copied, copied + 5);
      const transaction = await first.beginTransaction();
      await transaction.send({ messages: messages(part) });
      if (transactions % 3 === 0) {
        await transaction.abort();
      } else {
        await transaction.commit();
        copied += part.length;
      }
    }
    const zombie = await first.beginTransaction();
    await zombie.send({ messages: messages(['zombie']) });
    const second = open();
    const last = await second.beginTransaction();
    const fenced = await wasRefused(zombie.commit());
    await last.send({ messages: messages(['last']) });
    await last.commit();
    await Promise.all([first.close(), second.close()]);
    return { copied, fenced };
  },
};
