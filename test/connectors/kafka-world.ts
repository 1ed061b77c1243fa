import type { ConformanceWorld } from '../../connectors/runtime/conformance.ts';
import { seededRandom } from '../../core/base/random.ts';
import { Admin } from '../../core/client/admin.ts';
import { consume } from '../../core/client/consumer.ts';
import { committedOffsets } from '../../core/client/group-offsets.ts';
import { Producer } from '../../core/client/producer.ts';
import { listOffsets } from '../../core/client/list-offsets.ts';
import { keyOf } from '../../core/client/topic-partition.ts';
import type { NewRecord } from '../../core/engine/records.ts';
import { ApiKey } from '../../core/protocol/api.ts';
import { type KafkaProcess, kafkaProcess } from '../core/engine/kafka-fixture.ts';
import { CrashableEngine } from './crashable-engine.ts';
import { ManualClock } from './manual-clock.ts';

export interface KafkaWorld extends ConformanceWorld {
  clock: ManualClock;
  close(): Promise<void>;
}

/**
 * Engine `kafka` on real brokers: sinks live by a clock of their own, what goes over the network takes real time. A crash
 * unplugs the process and says good-bye for it, so that nobody waits for its session to end. `readTopic`: the one whose
 * values are asked for; it has one partition.
 */
export function kafkaWorld(bootstrap: string, readTopic: string, realMs = 2): KafkaWorld {
  const clock = new ManualClock();
  const control = kafkaProcess(bootstrap);
  const producer = new Producer(control.cluster);
  const admin = new Admin(control.cluster);
  const processes: KafkaProcess[] = [];
  /** What was asked for without waiting, in order. */
  let errands: Promise<unknown> = Promise.resolve();
  const groups = new Set<string>();
  const positions = new Map<string, Map<string, number>>();
  const contents = { end: 0, values: [] as Uint8Array[] };

  const begin = (): { process: KafkaProcess; engine: CrashableEngine } => {
    const process = kafkaProcess(bootstrap, `life-${processes.length}`);
    processes.push(process);
    return { process, engine: new CrashableEngine(process.engine) };
  };
  let now = begin();

  const evict = async (life: string): Promise<void> => {
    for (const group of groups) {
      const { members } = await admin.groups.describe(group);
      for (const { memberId } of members.filter(({ clientId }) => clientId === life)) {
        const body = { groupId: group, memberId, members: [{ memberId }] };
        await control.cluster.toCoordinator(group, ApiKey.LeaveGroup, body);
      }
    }
  };
  const refresh = async (): Promise<void> => {
    for (const group of groups) {
      // While a transaction is open nobody knows: the next look tells.
      const found = await committedOffsets(control.cluster, group, null, { forMs: 0 }).catch(() => null);
      if (found) positions.set(group, new Map([...found].map(([key, { offset }]) => [key, offset])));
    }
    const place = { topic: readTopic, partition: 0 };
    const ends = await listOffsets(control.cluster, [place], 'latest', 'read_committed');
    const end = ends.get(keyOf(place)) ?? 0;
    if (end === contents.end) return;
    const values: Uint8Array[] = [];
    for await (const records of consume(control.cluster, { topic: readTopic, from: 'earliest', exitAtEnd: true })) {
      values.push(...records.map(({ value }) => value ?? new Uint8Array()));
    }
    Object.assign(contents, { end, values });
  };

  return {
    get engine() {
      return now.engine;
    },
    clock,
    random: seededRandom(11),
    produce(topic, partition, records: NewRecord[]) {
      const sent = records.map(record => ({ ...record, partition }));
      errands = errands.then(() => producer.send(topic, sent));
    },
    crash() {
      now.engine.crash();
      now.process.network.unplug();
      const life = `life-${processes.length - 1}`;
      errands = errands.then(() => evict(life));
      now = begin();
    },
    outlivesCrash: true,
    loseLeases() {
      const life = `life-${processes.length - 1}`;
      errands = errands.then(() => evict(life));
    },
    async advance(milliseconds) {
      await errands;
      await clock.advance(milliseconds);
      await new Promise(resolve => setTimeout(resolve, realMs));
      await refresh();
    },
    committed(group, topic, partition) {
      groups.add(group);
      const offset = positions.get(group)?.get(keyOf({ topic, partition }));
      return offset === undefined ? null : BigInt(offset);
    },
    values: () => contents.values,
    async close() {
      await errands;
      for (const { network } of processes) network.plugIn();
      await Promise.all(processes.map(process => process.close()));
      await producer.close();
      await control.close();
    },
  };
}
