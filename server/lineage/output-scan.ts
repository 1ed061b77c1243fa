import type { Lineage } from '../../core/engine/lineage.ts';
import { isTransactional, lastOffset } from '../../core/engine/records.ts';
import type { PartitionView } from './snapshot.ts';
import { markerOf, settled, walk } from './walk.ts';

/** What an output or dead-letter partition holds, by who wrote it. */
export interface OutputScan extends PartitionView {
  /** Records by group, of those that its entries say it wrote. */
  byGroup: Map<string, number>;
  entries: Lineage[];
  /** Committed records that no entry speaks of, and the offset of the first one. */
  foreign: number;
  firstForeign: number | null;
  /** Records that an entry speaks of and that are not there: compacted away, or gone. */
  missing: number;
}

interface Written {
  from: number;
  to: number;
  records: number;
}

/** Reads every batch of a partition once. */
export async function scanOutput(view: PartitionView): Promise<OutputScan> {
  const scan: OutputScan = {
    ...view,
    byGroup: new Map(),
    entries: [],
    foreign: 0,
    firstForeign: null,
    missing: 0,
  };
  const open = new Map<number, Written[]>();
  const foreign = ({ from, records }: Written): void => {
    if (records === 0) return;
    scan.foreign += records;
    scan.firstForeign = Math.min(scan.firstForeign ?? Number.POSITIVE_INFINITY, from);
  };
  await settled(view.log, view.end);
  for await (const walked of walk(view.log, view.from, view.end)) {
    const { header } = walked;
    const marker = markerOf(walked);
    if (!marker) {
      const written = { from: header.baseOffset, to: lastOffset(header) + 1, records: header.recordCount };
      if (!isTransactional(header)) foreign(written);
      else open.set(header.producerId, [...(open.get(header.producerId) ?? []), written]);
      continue;
    }
    const batches = open.get(header.producerId) ?? [];
    open.delete(header.producerId);
    if (marker.kind === 'abort') continue;
    scan.entries.push(...marker.entries);
    for (const batch of batches) {
      const writer = marker.entries.find(({ appends }) =>
        appends.some(({ from, to }) => from <= batch.from && batch.to <= to),
      );
      if (!writer) foreign(batch);
      else scan.byGroup.set(writer.group, (scan.byGroup.get(writer.group) ?? 0) + batch.records);
    }
    const said = marker.entries.flatMap(({ appends }) => appends).filter(({ from }) => from >= view.from);
    const expected = said.reduce((sum, { from, to }) => sum + to - from, 0);
    const there = batches.reduce((sum, { records, from }) => sum + (from >= view.from ? records : 0), 0);
    if (expected > there) scan.missing += expected - there;
  }
  return scan;
}
