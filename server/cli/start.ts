import manifest from '../../package.json' with { type: 'json' };
import { systemClock } from '../../core/base/clock.ts';
import type { Diagnostic } from '../../core/config/diagnostic.ts';
import { compose, type Millstream } from '../compose.ts';
import { formatAddress } from '../config/values.ts';
import type { PipelineStatus } from '../pipeline-status.ts';
import { requireSettings, type Settings } from '../settings.ts';
import { createLogger } from '../text-logger.ts';
import { type Command, EXIT, type Io, text } from './command.ts';
import { nextCommands, pathLine, story } from './story.ts';
import { aborted, within } from './waiting.ts';

/** How long the first screen waits for the records to come to rest before it tells the story. */
const STORY_WAIT_MS = 8000;
const LOOK_MS = 50;

export const start: Command = {
  usage: 'start [--config FILE] [--log-json]',
  summary: 'run the broker and the pipelines until SIGTERM or ctrl-c',
  words: [0, 0],
  options: { 'log-json': { type: 'boolean', help: 'log as JSON lines' } },
  async run(_words, values, io) {
    const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
    const logger = createLogger({
      level: settings.config.broker.log_level,
      json: values['log-json'] === true,
      clock: systemClock,
      write: line => io.err(line),
    });
    for (const warning of settings.loaded.diagnostics) logger.warn(inOneLine(warning));
    const server = await compose(settings, manifest.version, logger);
    io.out(banner(server, settings));
    void tellStory(server, settings, io);
    await aborted(io.signal);
    io.out('stopping: sources, pipelines and sinks finish what they have\n');
    const limit = settings.config.operations.graceful_shutdown_timeout_ms;
    if (await within(server.stop(), limit)) return EXIT.ok;
    logger.error('the stop took too long: what was under way is done again at the next start', { limit_ms: limit });
    io.leave(EXIT.problems);
    return EXIT.problems;
  },
};

function inOneLine({ file, line, message, help }: Diagnostic): string {
  return `${file}${line > 0 ? `:${line}` : ''}: ${message}${help ? `; ${help}` : ''}`;
}

function banner(server: Millstream, { config }: Settings): string {
  const { embedded } = server;
  const kafka = embedded
    ? `${formatAddress({ host: config.network.kafka_listen.host, port: embedded.kafka.port })}    any Kafka client`
    : `${config.engine.kafka.brokers.join(', ')}    the cluster that the topics live in`;
  const http = formatAddress({ host: config.network.http_listen.host, port: server.http.port });
  // performance.now() counts from the start of the process.
  return (
    `millstream ${manifest.version}, listening after ${Math.round(performance.now())} ms\n` +
    `  kafka  ${kafka}\n` +
    `  http   http://${http}    the page, the API, /metrics\n`
  );
}

async function tellStory(server: Millstream, settings: Settings, io: Io): Promise<void> {
  await server.pipelinesStarted;
  if (io.signal.aborted) return;
  const all = (): PipelineStatus[] => server.pipelines.map(pipeline => pipeline.status());
  const { pipelines_dir: folder } = settings.config.broker;
  if (server.pipelines.length === 0) {
    const why = settings.config.etl.enabled
      ? `put a .toml file into ${folder}/ and start again`
      : '[etl] enabled = false';
    io.out(`\nno pipelines: ${why}\n${nextCommands([])}`);
    return;
  }
  io.out(
    `\n${all()
      .map(status => `pipeline ${status.name}: ${pathLine(status)}\n`)
      .join('')}`,
  );
  const deadline = performance.now() + STORY_WAIT_MS;
  while (!all().every(atRest) && performance.now() < deadline && !io.signal.aborted) {
    await new Promise(resolve => setTimeout(resolve, LOOK_MS));
  }
  if (io.signal.aborted) return;
  for (const status of all())
    io.out(server.pipelines.length > 1 ? `\n${status.name}\n${story(status)}` : story(status));
  io.out(nextCommands(all()));
}

/** Nothing will happen by itself: all that is there has gone through, or something has to be put right. */
function atRest(status: PipelineStatus): boolean {
  if (status.state !== 'running') return status.state !== 'starting';
  const { connector } = status.source;
  const sinks = status.deadLetters.drain ? [...status.sinks, status.deadLetters.drain] : status.sinks;
  // What a source has just appended is not yet in the lag that the steps know.
  const taken = connector === null || (connector.state === 'finished' && status.records >= connector.read);
  return taken && status.lag === 0 && sinks.every(sink => sink.lag === 0);
}
