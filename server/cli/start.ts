import manifest from '../../package.json' with { type: 'json' };
import { systemClock } from '../../core/base/clock.ts';
import { compose, type Millstream } from '../compose.ts';
import { formatAddress } from '../config/values.ts';
import { requireSettings } from '../settings.ts';
import { createLogger } from '../text-logger.ts';
import { type Command, EXIT, type Io, text } from './command.ts';
import { pathLine, story } from './story.ts';

/** How long the first screen waits for the demo's records to come to rest before it tells the story. */
const STORY_WAIT_MS = 8000;

export const start: Command = {
  usage: 'start [--config FILE]',
  summary: 'run the broker and the pipelines until SIGTERM or ctrl-c',
  words: [0, 0],
  options: { 'log-json': { type: 'boolean', help: 'log as JSON lines' } },
  async run(_words, values, io) {
    const began = performance.now();
    const settings = requireSettings(text(values, 'config'), io.env, io.cwd);
    const logger = createLogger({
      level: settings.config.broker.log_level,
      json: values['log-json'] === true,
      clock: systemClock,
      write: line => io.err(line),
    });
    for (const warning of settings.loaded.diagnostics) logger.warn(warning.message);
    const server = await compose(settings, manifest.version, logger);
    banner(server, settings.config.network.kafka_listen.host, settings.config.network.http_listen.host, began, io);
    void tellStory(server, io);
    await aborted(io.signal);
    io.out('stopping: sources, pipelines and sinks finish what they have\n');
    return (await stopWithin(server, settings.config.operations.graceful_shutdown_timeout_ms))
      ? EXIT.ok
      : EXIT.problems;
  },
};

function banner(server: Millstream, kafkaHost: string, httpHost: string, began: number, io: Io): void {
  const kafka = formatAddress({ host: kafkaHost, port: server.kafka.port });
  const http = formatAddress({ host: httpHost, port: server.http.port });
  io.out(
    `millstream ${manifest.version}, listening after ${Math.round(performance.now() - began)} ms\n` +
      `  kafka  ${kafka}    any Kafka client\n` +
      `  http   http://${http}    the page, the API, /metrics\n`,
  );
}

async function tellStory(server: Millstream, io: Io): Promise<void> {
  await server.pipelinesStarted;
  if (server.pipelines.length === 0) {
    io.out('  no pipelines: put a .toml file into the pipelines folder\n');
    return;
  }
  for (const pipeline of server.pipelines) io.out(`\npipeline ${pipeline.name}: ${pathLine(pipeline.status())}\n`);
  const deadline = performance.now() + STORY_WAIT_MS;
  while (performance.now() < deadline && !io.signal.aborted) {
    await new Promise(resolve => setTimeout(resolve, 50));
    if (server.pipelines.every(pipeline => atRest(pipeline.status()))) break;
  }
  if (io.signal.aborted) return;
  for (const pipeline of server.pipelines) {
    const status = pipeline.status();
    if (status.state === 'failed' || status.state === 'stopped') io.out(`  ${status.state}: ${status.reason}\n`);
    else if (status.records > 0) io.out(story(status));
    else io.out(`  waits for records: millstream produce ${status.source.topic}\n`);
  }
  const first = server.pipelines[0];
  const output = first?.status().outputs[0]?.topic ?? first?.status().source.topic;
  io.out(`\nNext, in another terminal:  npx millstream consume ${output} --from earliest --limit 3\n`);
}

function atRest(status: ReturnType<Millstream['pipelines'][number]['status']>): boolean {
  if (status.state === 'failed' || status.state === 'stopped') return true;
  const sourceDone = status.source.connector === null || status.source.connector.state === 'finished';
  const sinks = status.deadLetters.drain ? [...status.sinks, status.deadLetters.drain] : status.sinks;
  return (
    sourceDone &&
    status.lag === 0 &&
    sinks.every(sink => sink.lag === 0) &&
    (status.records > 0 || status.source.connector === null)
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function stopWithin(server: Millstream, limitMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>(resolve => {
    timer = setTimeout(() => resolve(false), limitMs);
  });
  const done = await Promise.race([server.stop().then(() => true), late]);
  clearTimeout(timer);
  return done;
}
