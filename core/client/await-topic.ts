import { ErrorCode } from '../protocol/error-codes.ts';
import { retrying } from './back-off.ts';
import { BrokerError } from './broker-error.ts';
import type { Cluster } from './cluster.ts';
import type { TopicMetadata } from './cluster-metadata.ts';

/** How long a topic may take to appear: a broker that creates it on demand first says that there is none. */
const APPEARS_WITHIN_MS = 5000;

/**
 * The topic with leaders for its partitions. Throws BrokerError: UNKNOWN_TOPIC_OR_PARTITION at once when it is missing and not
 * to be created, else after five seconds.
 */
export function awaitTopic(cluster: Cluster, topic: string, create: boolean): Promise<TopicMetadata> {
  const attempt = async (): Promise<TopicMetadata> => {
    const found = await cluster.topic(topic, create).catch((error: unknown) => {
      if (!create && error instanceof BrokerError && error.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) {
        throw unknownTopic(topic);
      }
      throw error;
    });
    if (found.partitions.length === 0 || found.partitions.some(one => one.leader < 0)) {
      throw new BrokerError(ErrorCode.LEADER_NOT_AVAILABLE, `topic ${topic}`);
    }
    return found;
  };
  return retrying({ ...cluster.backOff, forMs: APPEARS_WITHIN_MS }, attempt, () => cluster.forgetTopic(topic));
}

/** As Kafka's error, but final: nobody is going to create it. */
export function unknownTopic(topic: string): BrokerError {
  return new BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `topic ${topic}`, null, { retriable: false });
}
