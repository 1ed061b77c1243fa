/**
 * A full disk, for real: the data directory lies on a small tmpfs. Produce fails with an error a client can retry,
 * nothing acked is lost, reading goes on, and when space is there again produce goes on by itself. Needs root for the
 * mount.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Millstream } from '../servers/millstream.ts';
import { eventually } from '../servers/process.ts';
import { skipping } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';
import { decodeBatches, decodeValues, encodeBatch } from '../servers/wire-batch.ts';

const MIB = 1024 * 1024;

/** A tmpfs of its own, or null where this user may not mount one. */
function mountSmall(sizeMiB: number): string | null {
  const folder = mkdtempSync(join(tmpdir(), 'millstream-small-'));
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder], { encoding: 'utf8' });
  if (mounted.status === 0) return folder;
  rmSync(folder, { recursive: true });
  return null;
}

function unmount(folder: string): void {
  spawnSync('umount', ['-l', folder]);
  rmSync(folder, { recursive: true, force: true });
}

const probe = mountSmall(1);
if (probe === null) skipping('a full disk needs a mount of its own, which this user may not make (run as root)');
else unmount(probe);

describe.skipIf(probe === null)('on a full disk', () => {
  let folder = '';
  let server: Millstream;
  afterEach(async () => {
    await server.stop();
    unmount(folder);
  });

  const batchOf = (n: number): Buffer =>
    encodeBatch({ values: [Buffer.concat([Buffer.from(`${n} `.padEnd(16)), Buffer.alloc(100_000, n % 251)])] });
  const numberOf = (value: Buffer): number => Number.parseInt(value.toString('latin1', 0, 16), 10);

  /** Everything in the topic, by number. */
  const readAll = async (wire: Wire): Promise<number[]> => {
    const numbers: number[] = [];
    const end = (await wire.listOffset('full', 0, -1)).offset;
    while (numbers.length < end) {
      const { error, records } = await wire.fetch('full', 0, numbers.length, { maxBytes: 2 * MIB });
      expect(error).toBe(0);
      numbers.push(
        ...decodeBatches(records)
          .flatMap(decodeValues)
          .map(one => numberOf(one.value)),
      );
    }
    return numbers;
  };

  test('produce fails cleanly, reading goes on, and produce goes on when space is freed', async () => {
    folder = mountSmall(96) ?? '';
    // Takes the space that is freed later.
    const ballast = join(folder, 'ballast');
    writeFileSync(ballast, Buffer.alloc(32 * MIB));
    server = await Millstream.start({ dataDir: join(folder, 'data'), config: { 'wal.segment_size_bytes': 8 * MIB } });
    const wire = await Wire.connect(server.bootstrap);
    expect(await wire.createTopic('full', 1)).toBe(0);

    const acked: number[] = [];
    let refusal = 0;
    for (let n = 0; n < 2000 && refusal === 0; n++) {
      const { error, offset } = await wire.produce('full', 0, batchOf(n));
      if (error === 0) {
        expect(offset).toBe(n);
        acked.push(n);
      } else refusal = error;
    }
    expect(statfsSync(folder).bfree * statfsSync(folder).bsize).toBeLessThan(16 * MIB);
    // KAFKA_STORAGE_ERROR: clients refresh their metadata and try again.
    expect(refusal).toBe(56);
    // It stays a clean refusal, on the same connection, and what was acked can be read.
    for (let i = 0; i < 5; i++) expect((await wire.produce('full', 0, batchOf(-1))).error).toBe(56);
    expect(await readAll(wire)).toEqual(acked);
    expect(server.alive).toBe(true);

    rmSync(ballast);
    const resumed = await eventually('produce after space was freed', async () => {
      const { error, offset } = await wire.produce('full', 0, batchOf(acked.length));
      return error === 0 ? offset : undefined;
    });
    expect(resumed).toBe(acked.length);
    acked.push(acked.length);
    expect(await readAll(wire)).toEqual(acked);
    wire.close();

    // And it is all there after a restart, without and with a clean end.
    await server.kill9();
    await server.restart();
    let again = await Wire.connect(server.bootstrap);
    expect(await readAll(again)).toEqual(acked);
    again.close();
    expect(await server.terminate()).toBe(0);
    await server.restart();
    again = await Wire.connect(server.bootstrap);
    expect(await readAll(again)).toEqual(acked);
    again.close();
  });

  test('a start says in one sentence that the disk is full', async () => {
    folder = mountSmall(1) ?? '';
    try {
      writeFileSync(join(folder, 'ballast'), Buffer.alloc(2 * MIB));
    } catch {
      // That is the point: now it is full.
    }
    server = await Millstream.prepare({ dataDir: join(folder, 'data') });
    const child = server.spawn();
    const code = await new Promise<number | null>(resolve => child.once('exit', resolve));
    expect(code).toBe(1);
    expect(server.output).toMatch(/disk is full/i);
    expect(server.output).not.toMatch(/^\s+at /m);
  });
});
