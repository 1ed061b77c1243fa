import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import type { StoredTransaction } from '../../../core/broker/transactions/transaction.ts';
import { endsHeader, TRANSACTION_RECORDS } from '../../../core/broker/transactions/transaction-records.ts';
import { verifyData } from '../../../core/broker/verify-data.ts';
import { readBatchHeader } from '../../../core/log/batch.ts';
import { encodeBatch, type NewRecord } from '../../../core/log/record.ts';
import type { Finding } from '../../../core/log/verify/finding.ts';
import { FaultDisk } from '../log/fault-disk.ts';
import { batchOf, TestBroker } from './harness.ts';
import { TransactionalClient } from './transactions/client.ts';

/* Each damage is done to what a broker wrote: positions, transactions, topics. Logs alone: ../log/verify. */
const LOG = '/data/log';
const OFFSETS = '__consumer_offsets';
const STATE = '__transaction_state';

let disk: FaultDisk;
let served: TestBroker;
let producer: TransactionalClient;
beforeEach(async () => {
  disk = new FaultDisk(seededRandom(1));
  served = await TestBroker.open({ directory: '/data', disk, config: { housekeepingIntervalMs: 1e9 } });
  for (const name of ['orders', 'input']) await served.broker.topics.create({ name, partitions: 1 });
  producer = new TransactionalClient(served, 'copier');
  await producer.init();
});
let isDead = false;
afterEach(async () => {
  // A dead disk answers nobody.
  if (!isDead) await served.close();
  isDead = false;
});

const lines = ({ severity, file, what }: Finding): string => `${severity} ${file}: ${what}`;

/** Of the directory as a proper stop leaves it, or kill -9. */
async function found(how: 'close' | 'kill' = 'close', change: () => Promise<void> = async () => {}): Promise<string[]> {
  if (how === 'close') await served.close();
  else disk = disk.kill();
  isDead = how === 'kill';
  await change();
  const { findings } = await verifyData({ disk, logDirectory: LOG, metaDirectory: '/data/meta' });
  return findings.map(lines);
}

async function edit(path: string, change: (bytes: Buffer) => Buffer): Promise<void> {
  const file = await disk.open(path, 'create');
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  const changed = change(bytes);
  await file.truncate(0);
  if (changed.length > 0) await file.write([changed], 0);
  await file.close();
}

async function write(topic: string, record: Omit<NewRecord, 'timestamp'>, transactional = false): Promise<void> {
  const { producerId, producerEpoch } = producer;
  const options = transactional ? { producerId, producerEpoch, attributes: 0x10 } : {};
  const bytes = encodeBatch([{ timestamp: Date.now(), ...record }], options);
  await served.broker.log(topic, 0)?.append(bytes, [readBatchHeader(bytes)]).durable;
}

/** Writes what the coordinator would never write. */
async function store(change: Partial<StoredTransaction>): Promise<void> {
  const stored = served.broker.transactions.get('copier')?.toStore();
  if (!stored) throw new Error('not there');
  await write(STATE, TRANSACTION_RECORDS.encode({ transactionalId: 'copier', stored: { ...stored, ...change } }));
}

async function begin(): Promise<void> {
  await producer.add('orders', 0);
  await producer.send('orders', 0, ['one']);
}

test.each(['close', 'kill'] as const)('nothing is wrong in the middle of a transaction: %s', async how => {
  await producer.transact('orders', 0, ['aborted'], false);
  await producer.transact('orders', 0, ['committed'], true);
  await producer.addOffsets('readers');
  await producer.commitOffset('readers', 'orders', 0, 2);
  await producer.end(true);
  await begin();
  const after = await found(how);
  expect(after.filter(line => line.startsWith('problem'))).toEqual([]);
  expect(after).toContainEqual(expect.stringContaining('note orders-0: an open transaction of producer'));
});

describe('the index of aborted transactions', () => {
  const path = `${LOG}/orders-0/00000000000000000000.txnindex`;
  const name = 'problem orders-0/00000000000000000000.txnindex';
  const damages: [string, (bytes: Buffer) => Buffer, string][] = [
    ['lacks one', bytes => bytes.subarray(0, 34), 'was aborted, and is not in it'],
    ['has another producer', bytes => (bytes.writeBigInt64BE(77n, 2), bytes), 'it says producer 77 from 0 where'],
    ['begins it elsewhere', bytes => (bytes.writeBigInt64BE(1n, 10), bytes), 'where the log has the transaction'],
    ['ends it elsewhere', bytes => (bytes.writeBigInt64BE(2n, 18), bytes), 'that was not aborted at 2'],
    ['goes on with something else', bytes => Buffer.concat([bytes, Buffer.alloc(7, 1)]), 'behind 2 good ones'],
  ];
  test.each(damages)('%s', async (_, damage, says) => {
    for (let i = 0; i < 2; i++) await producer.transact('orders', 0, ['aborted'], false);
    const after = await found('close', () => edit(path, damage));
    expect(after.join('\n')).toContain(name);
    expect(after.join('\n')).toContain(says);
  });

  test('is lost', async () => {
    await producer.transact('orders', 0, ['aborted'], false);
    const after = await found('close', () => disk.remove(path));
    expect(after).toEqual([expect.stringContaining(`${name}: the transaction of producer`)]);
  });
});

describe('__transaction_state', () => {
  const journal = `${STATE}-0/00000000000000000000.log`;

  test('has a record that cannot be read, or a state that is none', async () => {
    const { key, value } = TRANSACTION_RECORDS.encode({
      transactionalId: 'other',
      stored: served.broker.transactions.get('copier')?.toStore() ?? null,
    });
    await write(STATE, { key, value: Buffer.from([0, 1, 2]) });
    // Behind version, producer id, epoch and timeout.
    const strange = Buffer.from(value ?? []);
    strange[2 + 8 + 2 + 4] = 9;
    await write(STATE, { key, value: strange });
    const after = await found();
    expect(after).toHaveLength(2);
    expect(after[0]).toContain(`problem ${journal}: records that cannot be read`);
    expect(after[1]).toContain("a state of 'other' that is none");
  });

  test('takes an epoch back, or decides twice', async () => {
    await begin();
    await producer.end(true);
    await served.broker.transactions.get('copier')?.settled;
    await store({ producerEpoch: 7, state: 'PrepareCommit', updatedAt: 5 });
    await store({ producerEpoch: 7, state: 'CompleteAbort', updatedAt: 5 });
    await store({ producerEpoch: 3 });
    const after = (await found()).join('\n');
    expect(after).toContain("'copier': CompleteAbort behind PrepareCommit");
    expect(after).toContain("'copier': epoch 3 of producer");
  });

  test('says that a transaction is over of which a marker is missing', async () => {
    await begin();
    const orders = { topic: 'orders', partition: 0 };
    await store({ state: 'PrepareCommit', partitions: [orders], headers: [endsHeader([{ ...orders, end: 1 }])] });
    await store({ state: 'CompleteCommit', partitions: [] });
    const after = await found('kill');
    expect(after).toContainEqual(
      "problem orders-0: the transaction of 'copier' from 0 on has no marker, and is stored as CompleteCommit",
    );
  });

  test('has a decision without markers, which the next start writes', async () => {
    await begin();
    await store({ state: 'PrepareCommit' });
    const after = await found('kill');
    expect(after.filter(line => line.startsWith('problem'))).toEqual([]);
    expect(after.join('\n')).toContain('is PrepareCommit, without markers in orders-0');
  });

  test('knows a transaction that no partition has, and does not know one that a partition has', async () => {
    await producer.add('orders', 0);
    const strange = batchOf(['lost'], { producerId: 900, producerEpoch: 0, baseSequence: 0, attributes: 0x10 });
    await served.broker.log('input', 0)?.append(strange, [readBatchHeader(strange)]).durable;
    const after = (await found('kill')).join('\n');
    expect(after).toContain("the transaction of 'copier' is Ongoing, no partition has records of it");
    expect(after).toContain('note input-0: the transaction of producer 900 from 0 on belongs to nobody');
  });
});

describe('__consumer_offsets', () => {
  test('has positions behind the end of a log, also in a transaction, and on what is not there', async () => {
    await served.broker.commitOffset('ahead', 'orders', 0, { offset: 4, metadata: '' });
    await served.broker.commitOffset('lost', 'gone', 0, { offset: 1, metadata: '' });
    await served.broker.commitOffset('lost', 'orders', 3, { offset: 1, metadata: '' });
    await producer.addOffsets('readers');
    await producer.commitOffset('readers', 'orders', 0, 9);
    await producer.end(true);
    await producer.addOffsets('undecided');
    await producer.commitOffset('undecided', 'orders', 0, 9);
    const after = (await found('kill')).filter(line => line.includes('group '));
    const file = `${OFFSETS}-0/00000000000000000000.log`;
    expect(after.toSorted()).toEqual([
      `note ${file}: group lost is at 1 of gone-0, which is not there`,
      `note ${file}: group lost is at 1 of orders-3, which is not there`,
      `problem ${file}: group ahead is at 4 of orders-0, which ends at 0`,
      `problem ${file}: group readers is at 9 of orders-0, which ends at 0`,
    ]);
  });

  test('has a record that cannot be read', async () => {
    await write(OFFSETS, { key: Buffer.from([0, 1, 0, 99]), value: null });
    expect((await found()).join('\n')).toContain(`problem ${OFFSETS}-0/00000000000000000000.log: records that cannot`);
  });
});

describe('the files beside the logs', () => {
  const catalogue = '/data/meta/catalogue.json';
  const replace = (from: string, to: string) => (bytes: Buffer) => Buffer.from(bytes.toString().replace(from, to));

  test('the catalogue would give out a producer id again, or has a setting that is none', async () => {
    await producer.transact('orders', 0, ['one'], true);
    const after = await found('close', async () => {
      await edit(catalogue, replace('"nextProducerId": 1000', '"nextProducerId": 0'));
      await edit(catalogue, replace('"cleanup.policy": "compact"', '"cleanup.policy": "shred"'));
    });
    expect(after.join('\n')).toContain('problem catalogue.json: the next producer id is 0, but');
    expect(after.join('\n')).toContain(`problem catalogue.json: topic ${OFFSETS}: Invalid value shred`);
  });

  test('the epochs are lost, or begin behind the end of the log', async () => {
    const epochs = (name: string): string => `${LOG}/${name}-0/leader-epoch-checkpoint`;
    const after = await found('close', async () => {
      await disk.remove(epochs('orders'));
      await edit(epochs('input'), () => Buffer.from('0\n2\n0 0\n1 50\n'));
    });
    expect(after).toContain('problem orders-0/leader-epoch-checkpoint: missing');
    expect(after).toContain('problem input-0/leader-epoch-checkpoint: epoch 1 begins at 50, the log ends at 0');
  });
});

describe('a partition that the catalogue names and that has no log', () => {
  const without = async (...partitions: number[]): Promise<string[]> => {
    const all = await found('close', async () => {
      for (const partition of partitions) await disk.removeDirectory(`${LOG}/wide-${partition}`);
    });
    return all.filter(line => line.includes('catalogue.json'));
  };
  const named = (severity: string, partition: number): string =>
    `${severity} catalogue.json: names wide-${partition}, which has no log`;
  beforeEach(() => served.broker.topics.create({ name: 'wide', partitions: 4 }));

  test('is one whose making was interrupted, while nothing was written behind it', async () => {
    await producer.transact('wide', 0, ['one'], true);
    expect((await without(1, 3)).toSorted()).toEqual([named('note', 1), named('note', 3)]);
  });

  test('is lost once the topic was written to', async () => {
    await producer.transact('wide', 2, ['one'], true);
    expect((await without(1, 3)).toSorted()).toEqual([named('note', 3), named('problem', 1)]);
  });
});
