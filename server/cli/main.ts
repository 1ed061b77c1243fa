import { asMillstreamError } from '../../core/base/errors.ts';
import { nearest } from '../../core/config/did-you-mean.ts';
import { type Command, EXIT, exitCodeOf, type Io, runCommand, usageError } from './command.ts';
import { processIo } from './process-io.ts';

type Loader = () => Promise<Command>;

/** Every command; a command loads only what it needs. */
const COMMANDS = new Map<string, Loader>(
  Object.entries({
    start: async () => (await import('./start.ts')).start,
    produce: async () => (await import('./produce.ts')).produce,
    consume: async () => (await import('./consume.ts')).consume,
    tap: async () => (await import('./tap.ts')).tap,
    'topic create': async () => (await import('./topic.ts')).create,
    'topic list': async () => (await import('./topic.ts')).list,
    'topic describe': async () => (await import('./topic.ts')).describe,
    'topic delete': async () => (await import('./topic.ts')).remove,
    'group list': async () => (await import('./group.ts')).list,
    'group describe': async () => (await import('./group.ts')).describe,
    'module new': async () => (await import('./module-new.ts')).create,
    'module build': async () => (await import('./module-build.ts')).build,
    'module test': async () => (await import('./module-test.ts')).test,
    'module dev': async () => (await import('./module-dev.ts')).dev,
    'module bench': async () => (await import('./module-bench.ts')).bench,
    'module deploy': async () => (await import('./module-deploy.ts')).deploy,
    'module show': async () => (await import('./module-deploy.ts')).show,
    'module rollback': async () => (await import('./module-deploy.ts')).rollback,
    'module logs': async () => (await import('./module-logs.ts')).logs,
    'module list': async () => (await import('./module.ts')).list,
    'pipeline lint': async () => (await import('./pipeline.ts')).lint,
    'pipeline test': async () => (await import('./pipeline.ts')).test,
    'pipeline list': async () => (await import('./pipeline.ts')).list,
    'pipeline reset': async () => (await import('./pipeline-reset.ts')).reset,
    'sink list': async () => (await import('./sink.ts')).list,
    'sink reset': async () => (await import('./sink.ts')).reset,
    'dead-letter list': async () => (await import('./dead-letter.ts')).list,
    'dead-letter show': async () => (await import('./dead-letter.ts')).show,
    'dead-letter replay': async () => (await import('./dead-letter.ts')).replay,
    trace: async () => (await import('./trace.ts')).trace,
    audit: async () => (await import('./audit.ts')).audit,
    verify: async () => (await import('./verify.ts')).verify,
    'bigquery-subscriber': async () => (await import('./bigquery-subscriber.ts')).bigquerySubscriber,
    'config check': async () => (await import('./config.ts')).check,
  }),
);

/** The command line; resolves with the exit code and never throws. */
export async function main(
  argv: string[],
  io: Io = processIo(argv.includes('start') || argv.includes('bigquery-subscriber')),
): Promise<number> {
  // The clock's timers do not keep a process alive, but a command that waits for a broker to come back must live.
  const alive = setInterval(() => {}, 2 ** 30);
  try {
    const code = await dispatch(configLast(argv), io);
    await io.drained();
    return code;
  } catch (thrown) {
    const error = asMillstreamError(thrown);
    if (error.kind === 'internal' && thrown instanceof Error && thrown.stack) io.err(`millstream: ${thrown.stack}\n`);
    else io.err(`millstream: ${error.message}\n${error.help ? `  ${error.help}\n` : ''}`);
    return exitCodeOf(error);
  } finally {
    clearInterval(alive);
  }
}

async function dispatch(argv: string[], io: Io): Promise<number> {
  const [first, second = ''] = argv;
  if (first === undefined || first === 'help' || first === '--help' || first === '-h') {
    const asked = first === 'help' ? argv.slice(1) : [];
    if (asked.length > 0) return dispatch([...asked.slice(0, 2), '--help'], io);
    io.out(await overview(''));
    return first === undefined ? EXIT.usage : EXIT.ok;
  }
  if (first === 'version' || first === '--version') {
    const { default: manifest } = await import('../../package.json', { with: { type: 'json' } });
    io.out(`millstream ${manifest.version}, node ${process.versions.node}\n`);
    return EXIT.ok;
  }
  const pair = COMMANDS.get(`${first} ${second}`);
  const load = pair ?? COMMANDS.get(first);
  if (load) return runCommand(await load(), argv.slice(pair ? 2 : 1), io);
  if ((second === '--help' || second === '-h') && verbsOf(first).length > 0) {
    io.out(await overview(first));
    return EXIT.ok;
  }
  throw unknownCommand(first, second);
}

/** `--config FILE` may stand before the command too. */
function configLast(argv: string[]): string[] {
  const [first = '', ...rest] = argv;
  if (first.startsWith('--config=')) return [...rest, first];
  return first === '--config' && rest.length > 1 ? [...rest.slice(1), first, rest[0] ?? ''] : argv;
}

function verbsOf(noun: string): string[] {
  return [...COMMANDS.keys()].filter(name => name.startsWith(`${noun} `)).map(name => name.slice(noun.length + 1));
}

function unknownCommand(first: string, second: string): Error {
  const verbs = verbsOf(first);
  if (verbs.length > 0) return usageError(`\`millstream ${first}\` takes one of: ${verbs.join(', ')}`);
  const wanted = second === '' || second.startsWith('-') ? first : `${first} ${second}`;
  const near = nearest(wanted, [...COMMANDS.keys()]) ?? nearest(first, [...COMMANDS.keys()]);
  return usageError(
    `unknown command \`${wanted}\`${near ? `, did you mean \`${near}\`?` : ''}`,
    '`millstream help` lists the commands.',
  );
}

/** All commands, or those of one noun. */
async function overview(noun: string): Promise<string> {
  const shown = [...COMMANDS].filter(([name]) => noun === '' || name.startsWith(`${noun} `));
  const lines = await Promise.all(shown.map(async ([name, load]) => `  ${name.padEnd(20)}${(await load()).summary}`));
  return `millstream: records in over the Kafka protocol, through WebAssembly modules, out to your systems\n\n${lines.join('\n')}\n\n\`millstream COMMAND --help\` shows a command's options.\n`;
}
