import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { nodeNetwork } from '../../../core/base/node-network.ts';
import { systemRandom } from '../../../core/base/random.ts';
import { Cluster } from '../../../core/client/cluster.ts';
import type { Lease } from '../../../core/engine/engine.ts';
import { KafkaEngine } from '../../../core/engine/kafka.ts';
import { type RunningBroker, startBroker } from '../broker/start-broker.ts';
import { until } from '../client/client-suite.ts';
import { LeapingClock } from './leaping-clock.ts';

/*
 * What an idle lease on engine `kafka` does so that its position is not forgotten. Brokers before KIP-211 count
 * offsets.retention from the commit, whether the group has members or not: a position must never be as old as that. Those
 * behind it keep the positions of a group that has members: test/compat/idle-positions.test.ts.
 */

const HOUR_MS = 3600e3;

describe('the position of an idle lease', () => {
  const clock = new LeapingClock();
  let broker: RunningBroker;
  let cluster: Cluster;
  let engine: KafkaEngine;
  beforeAll(async () => {
    // The broker sees the time, but its own timers (sessions) do not leap.
    const seen: Clock = { ...systemClock, now: () => clock.now() };
    broker = await startBroker({ clock: seen });
    cluster = new Cluster({ brokers: [broker.bootstrap], network: nodeNetwork, clock, random: systemRandom });
    engine = new KafkaEngine({ cluster, logger: silentLogger });
  });
  afterEach(() => engine.close());
  afterAll(async () => {
    await cluster.close();
    await broker.stop();
  });

  const take = async (group: string, topic: string): Promise<Lease> => {
    await engine.ensureTopic({ name: topic, partitions: 1 });
    const leases: Lease[] = [];
    await engine.join(group, [topic], { assigned: async lease => void leases.push(lease), revoked: async () => {} });
    return leases[0] as Lease;
  };
  const ageHours = (group: string, topic: string): number => {
    const { commitTimestamp = 0 } = broker.test.broker.groups.offsets.durable(group, topic, 0) ?? {};
    return (clock.now() - commitTimestamp) / HOUR_MS;
  };

  /** The membership looks after its positions every ten seconds. */
  const looks = (reached: () => boolean): Promise<void> =>
    until(() => {
      clock.leap(10_000);
      return reached();
    });

  test('is committed anew each day, state and all, by a lease that does nothing else', async () => {
    const lease = await take('idle', 'quiet');
    await lease.commit({ next: 5n, state: 'mine' });
    for (let day = 1; day <= 10; day++) {
      clock.leap(25 * HOUR_MS);
      expect(ageHours('idle', 'quiet')).toBeGreaterThan(24);
      await looks(() => ageHours('idle', 'quiet') < 1);
    }
    expect(lease.signal.aborted).toBe(false);
    await engine.close();
    expect((await take('idle', 'quiet')).position).toEqual({ next: 5n, state: 'mine' });
  });

  test('is left alone by a lease that has committed within the day, and by one that never has', async () => {
    const busy = await take('busy', 'loud');
    await take('new', 'empty');
    clock.leap(23 * HOUR_MS);
    await busy.commit({ next: 1n });
    clock.leap(2 * HOUR_MS);
    let looked = 0;
    await looks(() => (looked += 1) > 20);
    expect(ageHours('busy', 'loud')).toBeGreaterThan(1.9);
    expect(broker.test.broker.groups.offsets.durable('new', 'empty', 0)).toBe(null);
    clock.leap(23 * HOUR_MS);
    await looks(() => ageHours('busy', 'loud') < 1);
  });
});
