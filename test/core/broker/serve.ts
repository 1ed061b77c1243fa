import type { LogFields, Logger } from '../../../core/base/logger.ts';
import { startBroker } from './start-broker.ts';

/*
 * A broker in a process of its own, for tests that kill it and for benchmarks:
 *   node test/core/broker/serve.ts DIRECTORY PORT [fsync|nofsync] [CONFIG_JSON]
 * Prints `ready PORT`; ends cleanly on SIGTERM.
 */
const [directory = '', port = '0', fsync = 'fsync', config = '{}'] = process.argv.slice(2);

const print = (level: string, message: string, fields: LogFields = {}): void => {
  const shown = Object.entries(fields).map(
    ([key, value]) => `${key}=${value instanceof Error ? value.stack : String(value)}`,
  );
  process.stderr.write(`${level} ${message} ${shown.join(' ')}\n`);
};
const logger: Logger = {
  debug: () => {},
  info: (message, fields) => print('info', message, fields),
  warn: (message, fields) => print('warn', message, fields),
  error: (message, fields) => print('error', message, fields),
  with: () => logger,
};
const running = await startBroker({
  directory,
  port: Number(port),
  fsync: fsync !== 'nofsync',
  config: JSON.parse(config),
  logger,
});
process.stdout.write(`ready ${running.listener.port}\n`);
process.on('SIGTERM', () => {
  void running.stop().then(() => process.exit(0));
});
