/** Starts the one server that all compatibility tests of a run talk to. Every test uses topics and groups of its own. */
import type { TestProject } from 'vitest/node';
import { startKafka } from '../servers/kafka.ts';
import { Millstream } from '../servers/millstream.ts';
import { type Target, targetKind } from '../servers/target.ts';
import { eventually } from '../servers/process.ts';
import { requireTool } from '../servers/tools.ts';
import { Wire } from '../servers/wire.ts';

/** Records of 10 MiB fit, with room for key, headers and framing. */
const MAX_MESSAGE_BYTES = 12 * 1024 * 1024;

declare module 'vitest' {
  interface ProvidedContext {
    bootstrap: string;
    target: Target['kind'];
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  let target: Target;
  if (targetKind() === 'kafka') {
    if (requireTool('kafka') === null) throw new Error('TARGET=kafka needs Apache Kafka');
    target = await startKafka({
      'message.max.bytes': String(MAX_MESSAGE_BYTES),
      'replica.fetch.max.bytes': String(MAX_MESSAGE_BYTES),
    });
    await warmUp(target.bootstrap);
  } else {
    target = await Millstream.start({
      config: { 'broker.max_message_bytes': MAX_MESSAGE_BYTES, 'broker.default_partitions': 1 },
    });
  }
  console.log(`target: ${target.kind} on ${target.bootstrap}, first answer after ${target.startupMs} ms`);
  project.provide('bootstrap', target.bootstrap);
  project.provide('target', target.kind);
  return () => target.stop();
}

/** Apache Kafka loads its group coordinator at the first commit; not every client waits for that. */
async function warmUp(bootstrap: string): Promise<void> {
  const wire = await Wire.connect(bootstrap);
  await wire.createTopic('warm-up', 1);
  await eventually('a coordinator', async () => (await wire.findCoordinator('warm-up')) === 0 || undefined);
  await eventually('a commit', async () => (await wire.commitOffset('warm-up', 'warm-up', 0, 0)) === 0 || undefined);
  wire.close();
}
