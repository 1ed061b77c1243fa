import type { BrokerConfig } from './config.ts';
import type { Partition } from './partition.ts';
import type { Topic, Topics } from './topics.ts';

/** Readers of these topics are this process's next start, and tools that look on: neither is slow. Kafka's day would
 * keep the markers of a day's transactions. */
const DELETE_RETENTION_MS = 60_000;

/** The one partition of an internal topic; made if it is missing. */
export async function openInternal(topics: Topics, name: string, config: BrokerConfig): Promise<Partition> {
  const partitions = topics.get(name)?.partitions.length ?? 1;
  const topic = await topics.ensure({ name, partitions, configs: settingsOf(config), internal: true });
  return topic.partitions[0] as Partition;
}

/** Of a directory whose internal topics were not compacted: see `adoptSnapshots`. */
export function isUncompacted({ configs }: Topic): boolean {
  return configs['delete.retention.ms'] === undefined;
}

/** Gives an internal topic of an older directory, or one found without a catalogue, the settings of a new one. */
export async function settleInternal(topics: Topics, name: string, config: BrokerConfig): Promise<void> {
  const own = topics.require(name).configs;
  const wanted = settingsOf(config);
  if (Object.entries(wanted).some(([key, value]) => own[key] !== value)) await topics.configure(name, wanted);
}

function settingsOf(config: BrokerConfig): Record<string, string> {
  return {
    'cleanup.policy': 'compact',
    'segment.bytes': String(config.internalSegmentBytes),
    'delete.retention.ms': String(DELETE_RETENTION_MS),
  };
}
