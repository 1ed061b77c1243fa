import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../../../core/base/logger.ts';
import { seededRandom } from '../../../../core/base/random.ts';
import { openLocalLogStore } from '../../../../core/log/local-log-store.ts';
import type { LogStore } from '../../../../core/log/log.ts';
import type { LocalPartitionLog } from '../../../../core/log/partition-log.ts';
import type { Finding } from '../../../../core/log/verify/finding.ts';
import { verifyDirectory } from '../../../../core/log/verify/verify-directory.ts';
import { FaultDisk } from '../fault-disk.ts';
import { appendValues, CONFIG, ID } from '../harness.ts';
import { ManualClock } from '../manual-clock.ts';

const ROOT = '/data/log';
const LOG = `${ROOT}/orders-0`;

/** Three segments of several batches each, with index entries. */
async function makeLog(end: 'close' | 'leave' = 'close'): Promise<FaultDisk> {
  const disk = new FaultDisk(seededRandom(1));
  const store = await openStore(disk);
  const log = await store.open(ID, { ...CONFIG, segmentBytes: 20_000 });
  for (let i = 0; i < 60; i++) {
    const sequence = { producerId: 7, producerEpoch: 0, baseSequence: i * 2, timestamp: 1_700_000_000_000 + i };
    await appendValues(log, ['x'.repeat(400), 'y'.repeat(400)], sequence).durable;
  }
  if (end === 'close') await store.close();
  return disk;
}

function openStore(disk: FaultDisk): Promise<LogStore> {
  return openLocalLogStore({
    directory: ROOT,
    disk,
    clock: new ManualClock(),
    logger: silentLogger,
    fsync: true,
    flushIntervalMs: 1000,
    cacheBytes: 0,
  });
}

async function edit(disk: FaultDisk, path: string, change: (bytes: Buffer) => Buffer): Promise<void> {
  const file = await disk.open(path, 'create');
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  const changed = change(bytes);
  await file.truncate(0);
  if (changed.length > 0) await file.write([changed], 0);
  await file.close();
}

const segments = async (disk: FaultDisk): Promise<string[]> =>
  (await disk.list(LOG)).filter(name => name.endsWith('.log')).toSorted();

const findings = (disk: FaultDisk): Promise<Finding[]> => verifyDirectory({ disk, directory: ROOT });
const problems = async (disk: FaultDisk): Promise<Finding[]> =>
  (await findings(disk)).filter(finding => finding.severity === 'problem');

describe('verifyDirectory', () => {
  test('finds nothing in a directory that was closed', async () => {
    const disk = await makeLog();
    expect((await segments(disk)).length).toBeGreaterThan(2);
    expect(await findings(disk)).toEqual([]);
  });

  test('finds nothing when a checkpoint came between a clean start and a stop (power cut seed 1783)', async () => {
    const disk = await makeLog();
    const reopened = async (work: (log: LocalPartitionLog) => Promise<void>): Promise<void> => {
      const store = await openStore(disk);
      await work((await store.open(ID, CONFIG)) as LocalPartitionLog);
      await store.close();
    };
    // Newer than the last entry of the index of a segment that goes on.
    await reopened(log => appendValues(log, ['newest'], { timestamp: 1_700_000_001_000 }).durable);
    await reopened(log => log.checkpoint());
    expect(await findings(disk)).toEqual([]);
  });

  test('says where a flipped bit breaks a CRC', async () => {
    const disk = await makeLog();
    await edit(disk, `${LOG}/00000000000000000000.log`, bytes => {
      bytes.writeUInt8(bytes.readUInt8(3000) ^ 4, 3000);
      return bytes;
    });
    const [first] = await problems(disk);
    expect(first).toMatchObject({ file: 'orders-0/00000000000000000000.log', what: expect.stringContaining('CRC') });
    expect(first?.position).toBeLessThan(3000);
  });

  test('misses a segment that is gone, and the end of one that was cut short', async () => {
    const disk = await makeLog();
    const [, second = '', third = ''] = await segments(disk);
    await disk.remove(`${LOG}/${second}`);
    expect(await problems(disk)).toContainEqual(
      expect.objectContaining({ file: `orders-0/${third}`, meaning: expect.stringContaining('lost') }),
    );
    const other = await makeLog();
    await edit(other, `${LOG}/${second}`, bytes => bytes.subarray(0, bytes.length - 10));
    expect(await problems(other)).toContainEqual(expect.objectContaining({ file: `orders-0/${second}` }));
  });

  test('sees a batch that is missing from the middle, and one that was written twice', async () => {
    const gap = await makeLog();
    const size = await batchSize(gap);
    await edit(gap, `${LOG}/00000000000000000000.log`, bytes =>
      Buffer.concat([bytes.subarray(0, size), bytes.subarray(2 * size)]),
    );
    expect(await problems(gap)).toContainEqual(
      expect.objectContaining({ position: size, meaning: 'records 2 to 3 are missing' }),
    );
    const twice = await makeLog();
    await edit(twice, `${LOG}/00000000000000000000.log`, bytes =>
      Buffer.concat([bytes.subarray(0, size), bytes.subarray(0, size), bytes.subarray(size)]),
    );
    expect((await problems(twice)).map(finding => finding.what).join()).toContain('repeats sequence 0');
  });

  test('holds the indexes beside the batches', async () => {
    for (const suffix of ['index', 'timeindex']) {
      const disk = await makeLog();
      const at = suffix === 'index' ? 7 : 11;
      await edit(disk, `${LOG}/00000000000000000000.${suffix}`, bytes => {
        bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
        return bytes;
      });
      expect(await problems(disk)).toMatchObject([{ file: `orders-0/00000000000000000000.${suffix}` }]);
    }
  });

  test('holds the epochs beside the batches', async () => {
    const disk = await makeLog();
    await edit(disk, `${LOG}/leader-epoch-checkpoint`, () => Buffer.from('0\n1\n5 0\n'));
    expect((await problems(disk))[0]).toMatchObject({ what: expect.stringContaining('leader epoch 0 at offset 0') });
  });

  test('reads every line of the checkpoint files', async () => {
    const disk = await makeLog();
    await edit(disk, `${ROOT}/recovery-point-offset-checkpoint`, () => Buffer.from('0\n2\norders 0 200\norders\n'));
    const found = await problems(disk);
    expect(found).toContainEqual(expect.objectContaining({ file: 'recovery-point-offset-checkpoint', position: 4 }));
    expect(found).toContainEqual(expect.objectContaining({ file: 'orders-0', meaning: 'records 120 to 199 are lost' }));
  });

  test('takes a torn tail for what it is after a crash, and for damage after a clean stop', async () => {
    const tear = (disk: FaultDisk, name: string): Promise<void> =>
      edit(disk, `${LOG}/${name}`, bytes => bytes.subarray(0, 1000));
    const crashed = await makeLog('leave');
    const last = (await segments(crashed)).at(-1) ?? '';
    await tear(crashed, last);
    const found = await findings(crashed);
    expect(found).toContainEqual(
      expect.objectContaining({ severity: 'note', file: `orders-0/${last}`, meaning: expect.stringContaining('torn') }),
    );
    expect(found.filter(finding => finding.severity === 'problem')).toEqual([]);
    const closed = await makeLog();
    await tear(closed, last);
    expect(await problems(closed)).toContainEqual(expect.objectContaining({ file: `orders-0/${last}` }));
  });
});

async function batchSize(disk: FaultDisk): Promise<number> {
  const file = await disk.open(`${LOG}/00000000000000000000.log`, 'read');
  const head = Buffer.alloc(12);
  await file.read(head, 0);
  await file.close();
  return head.readInt32BE(8) + 12;
}
