/** Every foreign client that is on this machine; in CI a missing one is an error. */
import { inject } from 'vitest';
import { requireTool } from '../../servers/tools.ts';
import type { Client } from './client.ts';
import { confluentClient } from './confluent.ts';
import { javaClient } from './java.ts';
import { kafkajsClient, kafkajsFor } from './kafkajs.ts';
import { kcatClient } from './kcat.ts';
import { platformaticClient } from './platformatic.ts';

export function allClients(): Client[] {
  const bootstrap = inject('bootstrap');
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
    await admin.createTopics({ topics: [{ topic, numPartitions: partitions, configEntries }], waitForLeaders: true });
  } finally {
    await admin.disconnect();
  }
  return topic;
}
