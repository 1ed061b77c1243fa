/** How long a server takes from its start to its first answer after kill -9, with a log of a given size. */
import { Millstream } from '../test/servers/millstream.ts';
import { Wire } from '../test/servers/wire.ts';
import { encodeBatch } from '../test/servers/wire-batch.ts';

const MIB = 1024 * 1024;
/** Batches of 1 MiB that are not synced when the kill comes. */
const UNSYNCED = 60;

/** Fills `partitions` partitions with `gib` GiB in all and syncs them; then writes 60 MiB that are not synced, kills the
 * server and starts it again, three times. */
export async function recovery(
  gib: number,
  partitions: number,
  add: (run: number, figures: Record<string, number>) => void,
): Promise<void> {
  const server = await Millstream.start({
    config: { 'wal.fsync_on_write': false, 'broker.max_message_bytes': 2 * MIB },
  });
  try {
    const wire = await Wire.connect(server.bootstrap);
    await wire.createTopic('big', partitions);
    const batch = encodeBatch({ values: Array.from({ length: 1000 }, (_, i) => Buffer.alloc(1040, i % 251)) });
    const batches = Math.ceil((gib * 1024 * MIB) / batch.length);
    for (let n = 0; n < batches; n += 16) {
      const some = Array.from({ length: 16 }, (_, i) => wire.produce('big', (n + i) % partitions, batch));
      for (const { error } of await Promise.all(some)) if (error !== 0) throw new Error(`produce: error ${error}`);
    }
    wire.close();
    // All of it is on disk then, as it is with fsync on; only what follows is not.
    if ((await server.terminate(120_000)) !== 0) throw new Error('the server did not stop properly');
    await server.restart();
    for (let run = 1; run <= 3; run++) {
      // The kill falls right behind writes, so that there is something for the recovery to look at.
      const last = await Wire.connect(server.bootstrap);
      const late = Array.from({ length: UNSYNCED }, (_, n) =>
        last.produce('big', n % partitions, batch).catch(() => {}),
      );
      await Promise.all(late);
      await server.kill9();
      last.close();
      await server.restart();
      add(run, { gib, partitions, first_answer_ms: server.startupMs });
    }
  } finally {
    await server.stop();
  }
}
