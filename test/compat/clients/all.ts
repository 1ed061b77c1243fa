/** Every foreign client that is on this machine; in CI a missing one is an error. */
import { inject } from 'vitest';
import { eventually } from '../../servers/process.ts';
import { requireTool } from '../../servers/tools.ts';
import { Wire } from '../../servers/wire.ts';
import type { Client } from './client.ts';
import { confluentClient } from './confluent.ts';
import { javaClient } from './java.ts';
import { kafkajsClient, kafkajsFor } from './kafkajs.ts';
import { kcatClient } from './kcat.ts';
import { platformaticClient } from './platformatic.ts';

export function allClients(bootstrap = inject('bootstrap')): Client[] {
  const clients = [kafkajsClient(bootstrap), platformaticClient(bootstrap)];
  const kcat = requireTool('kcat');
  if (kcat !== null) clients.push(kcatClient(kcat, bootstrap));
  const python = requireTool('confluent');
  if (python !== null) clients.push(confluentClient(python, bootstrap));
  const classPath = requireTool('kafka');
  if (classPath !== null) clients.push(javaClient(classPath, bootstrap));
  return clients;
}

/** A name that no other test of the run uses. */
export const unique = (prefix: string): string => `${prefix}-${Math.random().toString(36).slice(2, 10)}`;

/** Creates a topic and gives its name, which starts with `prefix`. */
export async function createTopic(
  prefix: string,
  partitions = 1,
  config: Record<string, string> = {},
): Promise<string> {
  const topic = unique(prefix);
  const admin = kafkajsFor(inject('bootstrap')).admin();
  await admin.connect();
  try {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries }], waitForLeaders: false });
  } finally {
    await admin.disconnect();
  }
  // Apache Kafka leads a new topic a moment later.
  const wire = await Wire.connect(inject('bootstrap'));
  for (let partition = 0; partition < partitions; partition++) {
    await eventually(`topic ${topic} is led`, async () => {
      const { error } = await wire.listOffset(topic, partition, -1);
      return error === 0 || undefined;
    });
  }
  wire.close();
  return topic;
}

/** Commits an offset for a group that has no members. */
export async function setOffset(group: string, topic: string, offset: number, metadata = ''): Promise<void> {
  const wire = await Wire.connect(inject('bootstrap'));
  await eventually(`an offset of ${group}`, async () => {
    const error = await wire.commitOffset(group, topic, 0, offset, metadata);
    // Apache Kafka loads a coordinator at its first use.
    if (![0, 14, 15, 16].includes(error)) throw new Error(`OffsetCommit: error ${error}`);
    return error === 0 || undefined;
  });
  wire.close();
}
