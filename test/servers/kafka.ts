/** A real Apache Kafka (one node, KRaft) on loopback, for suites and benchmarks that compare. Needs the tool `kafka`. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts, runOk } from './process.ts';
import type { Target } from './target.ts';

const script = fileURLToPath(new URL('./kafka-up.sh', import.meta.url));

/** Starts it and waits for its first answer. `properties` go into server.properties as they are. */
export async function startKafka(properties: Record<string, string> = {}): Promise<Target> {
  const folder = mkdtempSync(join(tmpdir(), 'apache-kafka-'));
  const [port, controller] = await freePorts(2);
  const settings = Object.entries(properties).map(([key, value]) => `${key}=${value}`);
  // The script leaves the broker running with its output in the folder, so that this call ends.
  const ran = await runOk(script, [folder, String(port), ...settings], {
    env: { KAFKA_CONTROLLER_PORT: String(controller) },
    timeoutMs: 120_000,
  });
  const pid = Number(readFileSync(join(folder, 'broker.pid'), 'utf8'));
  const startupMs = Number(/startup_ms=(\d+)/.exec(ran.stdout.toString())?.[1]);
  return {
    kind: 'kafka',
    bootstrap: `127.0.0.1:${port}`,
    httpUrl: null,
    pid: () => pid,
    startupMs,
    async stop() {
      await runOk(script, ['--stop', folder]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
