import { systemClock } from '../../core/base/clock.ts';
import { systemRandom } from '../../core/base/random.ts';
import { Cluster } from '../../core/client/cluster.ts';
import type { Io, Values } from './command.ts';
import { brokersOf } from './target.ts';

/** Runs `work` against the brokers that the options or the configuration name, and closes the connections. */
export async function withCluster<T>(values: Values, io: Io, work: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = new Cluster({
    ...brokersOf(values, io),
    clock: systemClock,
    random: systemRandom,
    clientId: 'millstream-cli',
  });
  try {
    return await work(cluster);
  } finally {
    await cluster.close();
  }
}
