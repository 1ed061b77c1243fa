import type { FaultDisk } from './fault-disk.ts';

/*
 * What indexes say of batches below the recovery point, which a start takes as it is. One that lacks some of it costs no
 * record, but lookups by time and a scan of its segment.
 *
 *   recovery-point-offset-checkpoint   "0", the number of lines, "<topic> <partition> <offset>" each
 *   <log>/<base offset>.index          8 bytes an entry: int32 last offset of a batch, from the base offset on, int32 position
 *   <log>/<base offset>.timeindex      12 bytes an entry: int64 timestamp, int32 offset, from the base offset on
 */
const INDEX = /([^/]+)\/(\d{20})\.(index|timeindex)$/;
const ENTRY = { index: { bytes: 8, offsetAt: 0 }, timeindex: { bytes: 12, offsetAt: 8 } };

/** As hex, by file. */
function entriesIn(disk: FaultDisk, points: ReadonlyMap<string, number>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [path, content] of disk.contents('/data')) {
    const [, log = '', base = '', kind] = INDEX.exec(path) ?? [];
    const point = points.get(log);
    if (point === undefined) continue;
    const { bytes, offsetAt } = ENTRY[kind as keyof typeof ENTRY];
    const all = Buffer.from(content);
    const entries: string[] = [];
    for (let at = 0; at + bytes <= all.length; at += bytes) {
      if (Number(base) + all.readInt32BE(at + offsetAt) < point) entries.push(all.toString('hex', at, at + bytes));
    }
    found.set(path, entries);
  }
  return found;
}

/** The stored recovery points, by log. */
export function pointsIn(disk: FaultDisk): Map<string, number> {
  for (const [path, bytes] of disk.contents('/data')) {
    if (!path.endsWith('recovery-point-offset-checkpoint')) continue;
    const lines = Buffer.from(bytes).toString().trim().split('\n').slice(2);
    return new Map(
      lines.map(line => line.split(' ')).map(([topic, partition, at]) => [`${topic}-${partition}`, Number(at)]),
    );
  }
  return new Map();
}

/** Throws when `after`, which a cut left of `before`, lacks an entry below its recovery points. */
export function indexesHold(before: FaultDisk, after: FaultDisk): void {
  const points = pointsIn(after);
  const left = entriesIn(after, points);
  for (const [path, entries] of entriesIn(before, points)) {
    const lost = entries.filter(entry => !left.get(path)?.includes(entry));
    if (lost.length > 0) throw new Error(`${path} lacks ${lost.length} of ${entries.length} entries that were synced`);
  }
}
