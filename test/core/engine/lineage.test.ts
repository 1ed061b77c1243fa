import { describe, expect, it } from 'vitest';
import { lineageHeader, lineageOf, originsOf, readOrigins, writeOrigins } from '../../../core/engine/lineage.ts';
import { readBatchHeader } from '../../../core/engine/records.ts';
import { encodeMarker } from '../../../core/log/marker.ts';

const marker = (kind: 'commit' | 'abort', headers: Parameters<typeof encodeMarker>[0]['headers'] = []) =>
  encodeMarker({ kind, coordinatorEpoch: 0, producerId: 1, producerEpoch: 0, timestamp: 5, headers });
const read = (batch: Uint8Array) => lineageOf(batch, readBatchHeader(batch));

describe('a map of records to the source records they come from', () => {
  it.each([
    ['1:1', [5000, 5001, 5002, 5003], 5],
    ['one record', [7], 1],
    ['nothing', [], 0],
    ['a filter', [10, 11, 13, 17, 18, 40], 6],
    ['a fan-out', [1, 1, 1, 2, 2, 2, 3, 3, 3], 9],
    ['replays, which have no order', [90, 4, 2 ** 40, 0], 17],
    ['beyond 32 bits', [2 ** 45, 2 ** 45 + 1], 9],
  ])('is read back as it was written, in few bytes: %s', (_, origins, most) => {
    const bytes = writeOrigins(origins);
    expect(readOrigins(bytes, origins.length)).toEqual(origins);
    expect(bytes.length).toBeLessThanOrEqual(most);
  });

  it('is not taken when it is damaged, or says more than there are records', () => {
    const map = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
    const good = writeOrigins([3, 4, 5]);
    expect(originsOf({ from: 10, to: 13, map: map(good) })).toEqual([3, 4, 5]);
    expect(originsOf({ from: 10, to: 12, map: map(good) })).toBeNull();
    expect(originsOf({ from: 10, to: 14, map: map(good) })).toBeNull();
    expect(originsOf({ from: 10, to: 13, map: map(good.subarray(0, -1)) })).toBeNull();
    expect(originsOf({ from: 10, to: 13, map: map(Buffer.alloc(20, 0xff)) })).toBeNull();
    expect(originsOf({ from: 10, to: 13, map: null })).toBeNull();
  });
});

describe('the lineage in a marker', () => {
  const source = { group: 'millstream.orders', topic: 'orders', topicId: 'f'.repeat(32), partition: 3 };
  const appends = [{ from: 880, to: 882, map: 'AAAA' }];

  it('says what a commit said', () => {
    const records = { in: 5, emitted: 2, dropped: 2, passed: 0, dead: 1 };
    const steps = [{ name: 'scrub', sha256: '4f2a9c01be12', dropped: 2, passed: 0, dead: 1 }];
    const header = lineageHeader(source, { from: 100n, records, steps }, 105n, appends);
    const sink = lineageHeader({ ...source, group: 'millstream.orders.lake' }, { from: 1n }, 2n, []);
    expect(read(marker('commit', [header, sink]))).toEqual([
      { ...source, from: 100, next: 105, appends, records, steps },
      { ...source, group: 'millstream.orders.lake', from: 1, next: 2, appends: [], records: null, steps: [] },
    ]);
  });

  it('is nothing where there is none, or it cannot be read', () => {
    expect(read(marker('commit'))).toEqual([]);
    expect(read(marker('commit', [['other', Buffer.from('{}')]]))).toEqual([]);
    expect(read(marker('commit', [['millstream.lineage', Buffer.from('{"v":1')]]))).toEqual([]);
    expect(read(marker('commit', [['millstream.lineage', Buffer.from('{"v":2}')]]))).toEqual([]);
  });
});
