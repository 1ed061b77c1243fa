import type { Administrator } from './administrator.ts';
import { checkDone, checkEverything, checkProducer, type Seen } from './checker/expectations.ts';
import { checkFiles, type FileCounts, type SeenFiles } from './checker/files.ts';
import type { Life } from './life.ts';
import { IdempotentProducer, INPUT, type Producer } from './producers.ts';
import { type Histories, positionsOf } from './reader.ts';
import type { Tables } from './tables.ts';
import type { Warehouse } from './warehouse.ts';

const GROUPS = [
  ['millstream.one', 'in'],
  ['millstream.two', 'mid'],
  ['millstream.two.warehouse', 'out'],
  ['millstream.two.files', 'out'],
  ['millstream.two.dead_letter', 'two.dead'],
] as const;

/** What outlives the processes of a simulation. */
export interface Inspected {
  histories: Histories;
  warehouse: Warehouse;
  producers: readonly Producer[];
  administrator: Administrator;
  tables: Tables;
}

/** Looks at everything that earlier lives have left, while nothing but readers moves. `isEnd`: nothing more comes. */
export async function inspect(
  { histories, warehouse, producers, administrator, tables }: Inspected,
  life: Life,
  contents: SeenFiles,
  isEnd: boolean,
): Promise<FileCounts> {
  const { partitions } = histories;
  await histories.reread(life);
  const positions = await positionsOf(life, GROUPS, partitions);
  const seen: Seen = {
    partitions,
    history: (topic, partition) => histories.of(topic, partition),
    position: (group, topic, partition) => positions.get(`${group} ${topic}-${partition}`) ?? { offset: -1, state: '' },
    rows: (topic, partition) => warehouse.streams.get(`${topic}-${partition}`) ?? [],
  };
  const sources = Array.from({ length: partitions }, (_, partition) => histories.of(INPUT.topic, partition));
  for (const producer of producers.filter(({ target }) => target === INPUT)) {
    checkProducer(producer.name, producer.sent, producer instanceof IdempotentProducer, sources);
  }
  checkEverything(seen);
  await tables.check(life, producers);
  const files = checkFiles(seen, contents, isEnd);
  await administrator.check(life);
  if (isEnd) checkDone(seen);
  return files;
}
