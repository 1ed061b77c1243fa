/** A real Apache Kafka (one node, KRaft) on loopback, for suites and benchmarks that compare. Needs the tool `kafka`. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, freePorts, runOk } from './process.ts';
import type { KillableTarget } from './target.ts';

const script = fileURLToPath(new URL('./kafka-up.sh', import.meta.url));

/**
 * Starts it and waits for its first answer. `properties` go into server.properties as they are, `formatArguments` to
 * the tool that formats its storage.
 */
export async function startKafka(
  properties: Record<string, string> = {},
  formatArguments: readonly string[] = [],
): Promise<KillableTarget> {
  const folder = mkdtempSync(join(tmpdir(), 'apache-kafka-'));
  const free = await freePorts(2);
  // Where the settings name listeners, the plain one is the first of them.
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(properties['listeners'] ?? '')?.[1] ?? free[0]);
  const controller = free[1];
  const settings = Object.entries(properties).map(([key, value]) => `${key}=${value}`);
  const pid = (): number => Number(readFileSync(join(folder, 'broker.pid'), 'utf8'));
  const target: KillableTarget = {
    kind: 'kafka',
    bootstrap: `127.0.0.1:${port}`,
    httpUrl: null,
    pid,
    startupMs: 0,
    async restart() {
      // The script leaves the broker running with its output in the folder, so that this call ends.
      const ran = await runOk(script, [folder, String(port), ...settings], {
        env: { KAFKA_CONTROLLER_PORT: String(controller), KAFKA_FORMAT_ARGS: formatArguments.join(' ') },
        timeoutMs: 180_000,
      });
      target.startupMs = Number(/startup_ms=(\d+)/.exec(ran.stdout.toString())?.[1]);
    },
    async kill9() {
      process.kill(pid(), 'SIGKILL');
      await eventually('the end of the broker', () => !existsSync(`/proc/${pid()}`) || undefined);
    },
    async stop() {
      await runOk(script, ['--stop', folder]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await target.restart();
  return target;
}
