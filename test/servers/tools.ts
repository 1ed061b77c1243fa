/**
 * Foreign tools that some suites drive. Where one is missing the tests that need it skip, with a line that says what
 * is missing and how to get it; in CI (`CI` is set) everything is installed, so there a missing tool is a failure.
 * Nothing is downloaded from here.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type ToolName = 'kcat' | 'kafka' | 'confluent' | 'chromium' | 'openssl' | 'benthos';

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

const tools: Record<ToolName, { find: () => string | null; hint: string }> = {
  /** The path of kcat. */
  kcat: { find: () => onPath('kcat'), hint: 'install the package kcat' },
  /** A Java class path with Apache Kafka's broker, clients and tools; `java` itself is on the PATH. */
  kafka: {
    find: () => {
      if (onPath('java') === null) return null;
      const libs = outputOf(here('kafka-libs.sh'), '--find');
      return libs === null ? null : `${libs}/*`;
    },
    hint: 'install Java 17 or newer and Maven, then run test/servers/kafka-libs.sh',
  },
  /** The path of openssl, which makes certificates on the spot. */
  openssl: { find: () => onPath('openssl'), hint: 'install the package openssl' },
  /** The path of a Chromium for the tests in test/browser. */
  chromium: { find: () => onPath('chromium'), hint: 'install the package chromium' },
  /** The python of a virtual environment with confluent-kafka in it. */
  confluent: { find: () => outputOf(here('confluent.sh'), '--find'), hint: 'run test/servers/confluent.sh' },
  /** The path of a Benthos with a WebAssembly processor; benchmarks only. */
  benthos: { find: () => outputOf(here('../../bench/peers/benthos.sh'), '--find'), hint: 'run bench/peers/benthos.sh' },
};

function onPath(name: string): string | null {
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    if (folder !== '' && existsSync(`${folder}/${name}`)) return `${folder}/${name}`;
  }
  return null;
}

function outputOf(command: string, ...args: string[]): string | null {
  const result = spawnSync(command, args, { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trim() : null;
}

const found = new Map<ToolName, string | null>();

/** What the tool's entry above says, or null where it is missing. */
export function findTool(name: ToolName): string | null {
  let path = found.get(name);
  if (path === undefined) {
    path = tools[name].find();
    found.set(name, path);
  }
  return path;
}

/** As findTool, but a missing tool is announced, and in CI it is an error. Use with `describe.skipIf(tool === null)`. */
export function requireTool(name: ToolName): string | null {
  const path = findTool(name);
  if (path === null) skipping(`${name} is not on this machine (${tools[name].hint})`);
  return path;
}

/** Says why tests are skipped; in CI throws instead, because everything is there. */
export function skipping(reason: string): void {
  if (process.env['CI'] !== undefined) throw new Error(`a skip is a failure in CI: ${reason}`);
  console.log(`skipped: ${reason}`);
}
