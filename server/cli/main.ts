import { asMillstreamError } from '../../core/base/errors.ts';
import { nearest } from '../../core/config/did-you-mean.ts';
import { type Command, EXIT, exitCodeOf, type Io, runCommand, usageError } from './command.ts';

type Loader = () => Promise<Command>;

/** Every command; loaded only when it is called, so that `millstream help` costs nothing. */
const COMMANDS: Record<string, Loader> = {
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
  'module list': async () => (await import('./module.ts')).list,
  'pipeline lint': async () => (await import('./pipeline.ts')).lint,
  'pipeline test': async () => (await import('./pipeline.ts')).test,
  'pipeline list': async () => (await import('./pipeline.ts')).list,
  'config check': async () => (await import('./config.ts')).check,
};

/** The command line; resolves with the exit code and never throws. */
export async function main(argv: string[], io: Io = processIo()): Promise<number> {
  try {
    return await dispatch(argv, io);
  } catch (thrown) {
    const error = asMillstreamError(thrown);
    if (error.kind === 'internal' && thrown instanceof Error && thrown.stack) io.err(`millstream: ${thrown.stack}\n`);
    else io.err(`millstream: ${error.message}\n${error.help ? `  ${error.help}\n` : ''}`);
    return exitCodeOf(error);
  }
}

async function dispatch(argv: string[], io: Io): Promise<number> {
  const [first, second] = argv;
  if (first === undefined || first === 'help' || first === '--help' || first === '-h') {
    io.out(await overview());
    return first === undefined ? EXIT.usage : EXIT.ok;
  }
  if (first === 'version' || first === '--version') {
    const { default: manifest } = await import('../../package.json', { with: { type: 'json' } });
    io.out(`millstream ${manifest.version}, node ${process.versions.node}\n`);
    return EXIT.ok;
  }
  const pair = `${first} ${second ?? ''}`;
  const load = COMMANDS[pair] ?? COMMANDS[first];
  if (!load) throw unknownCommand(first, second);
  return runCommand(await load(), argv.slice(COMMANDS[pair] ? 2 : 1), io);
}

function unknownCommand(first: string, second: string | undefined): Error {
  const verbs = Object.keys(COMMANDS).filter(name => name.startsWith(`${first} `));
  if (verbs.length > 0)
    return usageError(`\`millstream ${first}\` takes one of: ${verbs.map(v => v.split(' ')[1]).join(', ')}`);
  const wanted = second === undefined || second.startsWith('-') ? first : `${first} ${second}`;
  const near = nearest(wanted, Object.keys(COMMANDS)) ?? nearest(first, Object.keys(COMMANDS));
  return usageError(
    `unknown command \`${wanted}\`${near ? `, did you mean \`${near}\`?` : ''}`,
    '`millstream help` lists the commands.',
  );
}

async function overview(): Promise<string> {
  const lines = await Promise.all(
    Object.entries(COMMANDS).map(async ([name, load]) => `  ${name.padEnd(18)}${(await load()).summary}`),
  );
  return `millstream: records in over the Kafka protocol, through WebAssembly modules, out to your systems\n\n${lines.join('\n')}\n\n\`millstream COMMAND --help\` shows a command's options.\n`;
}

function processIo(): Io {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    // The second signal ends the process the usual way.
    process.once(name, () => stopping.abort(name));
  }
  return {
    out: chunk => void process.stdout.write(chunk),
    err: chunk => void process.stderr.write(chunk),
    env: process.env,
    cwd: process.cwd(),
    stdin: process.stdin,
    isTerminal: process.stdout.isTTY,
    signal: stopping.signal,
  };
}
