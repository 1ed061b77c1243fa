import { dirname, resolve } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };
import { sinkConnectors } from '../../connectors/index.ts';
import { systemClock } from '../../core/base/clock.ts';
import { nodeDisk } from '../../core/base/node-disk.ts';
import { systemRandom } from '../../core/base/random.ts';
import { clusterAccess } from '../config/security.ts';
import { readTextFile } from '../read-text-file.ts';
import { readSubscriberSettings } from '../subscriber/settings.ts';
import { startSubscriber } from '../subscriber/subscriber.ts';
import { createLogger } from '../text-logger.ts';
import { type Command, EXIT, text } from './command.ts';
import { aborted, within } from './waiting.ts';

export const bigquerySubscriber: Command = {
  usage: 'bigquery-subscriber [--config FILE] [--log-json]',
  summary: 'write one topic of any Kafka-protocol brokers into a BigQuery table until SIGTERM or ctrl-c',
  words: [0, 0],
  options: { 'log-json': { type: 'boolean', help: 'log as JSON lines' } },
  async run(_words, values, io) {
    const named = text(values, 'config') ?? (io.env['CONFIG_FILE'] || undefined);
    const file = named === undefined ? null : resolve(io.cwd, named);
    const connectorSchema = sinkConnectors().get('bigquery')?.config;
    if (!connectorSchema) throw new TypeError('there is no connector `bigquery`');
    const settings = readSubscriberSettings({ file, env: io.env, readFile: readTextFile, connectorSchema });
    const logger = createLogger({
      level: settings.log_level,
      json: values['log-json'] === true,
      clock: systemClock,
      write: line => io.err(line),
    });
    const baseDirectory = file === null ? io.cwd : dirname(file);
    const subscriber = await startSubscriber({
      settings,
      baseDirectory,
      clock: systemClock,
      random: systemRandom,
      disk: nodeDisk,
      access: clusterAccess(settings.subscription, path => readTextFile(resolve(baseDirectory, path))),
      logger,
    });
    io.out(
      `millstream ${manifest.version}, bigquery-subscriber\n` +
        `  topic  ${settings.subscription.topic} of ${settings.subscription.broker_endpoints.join(', ')}\n` +
        `  group  ${subscriber.group}\n` +
        `  http   port ${subscriber.http.port}: /health, /metrics\n`,
    );
    await aborted(io.signal);
    io.out('stopping: what was read is written and committed\n');
    if (await within(subscriber.stop(), settings.graceful_shutdown_timeout_ms)) return EXIT.ok;
    logger.error('the stop took too long: what was under way is done again at the next start');
    io.leave(EXIT.problems);
    return EXIT.problems;
  },
};
