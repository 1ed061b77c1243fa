import { Admin } from '../../core/client/admin.ts';
import { type Command, EXIT, table, usageError, type Values, wholeNumber } from './command.ts';
import { BROKERS_OPTION } from './target.ts';
import { withCluster } from './with-cluster.ts';

const JSON_OPTION = { json: { type: 'boolean', help: 'as JSON' } } as const;

export const create: Command = {
  usage: 'topic create NAME [--partitions N] [--set NAME=VALUE ...]',
  summary: 'create a topic',
  words: [1, 1],
  options: {
    ...BROKERS_OPTION,
    partitions: { type: 'string', short: 'p', help: "how many (default: the broker's)" },
    set: {
      type: 'string',
      multiple: true,
      help: "one of Kafka's topic configs, e.g. retention.ms=60000; may be repeated",
    },
  },
  async run([name = ''], values, io) {
    const partitions = wholeNumber(values, 'partitions', 1, 100_000);
    const configs = configsOf(values);
    const topic = await withCluster(values, io, cluster =>
      new Admin(cluster).topics.create({ name, configs, ...(partitions === undefined ? {} : { partitions }) }),
    );
    io.out(`created ${name}, ${topic.partitions.length} partitions\n`);
    return EXIT.ok;
  },
};

export const list: Command = {
  usage: 'topic list [--internal] [--json]',
  summary: 'list the topics',
  words: [0, 0],
  options: { ...BROKERS_OPTION, ...JSON_OPTION, internal: { type: 'boolean', help: "the broker's own topics too" } },
  async run(_words, values, io) {
    const all = await withCluster(values, io, cluster => new Admin(cluster).topics.list());
    const topics = all.filter(topic => values['internal'] === true || !topic.isInternal);
    if (values['json'] === true) io.out(`${JSON.stringify(topics, null, 2)}\n`);
    else if (topics.length === 0) io.err('no topics yet; `millstream produce TOPIC` makes one\n');
    else {
      const rows = topics.map(topic => [topic.name, topic.partitions.length]);
      io.out(table(['TOPIC', 'PARTITIONS'], rows));
    }
    return EXIT.ok;
  },
};

export const describe: Command = {
  usage: 'topic describe NAME [--json]',
  summary: "show a topic's partitions, offsets and settings",
  words: [1, 1],
  options: { ...BROKERS_OPTION, ...JSON_OPTION },
  async run([name = ''], values, io) {
    const topic = await withCluster(values, io, cluster => new Admin(cluster).topics.describe(name));
    if (values['json'] === true) io.out(`${JSON.stringify(topic, null, 2)}\n`);
    else {
      const set = topic.configs.filter(config => !config.isDefault).map(config => `${config.name}=${config.value}`);
      io.out(`${topic.name}  id ${topic.topicId}  ${set.length > 0 ? set.join(', ') : 'settings: all default'}\n`);
      const rows = topic.partitions.map(p => [
        p.partition,
        p.leader,
        p.startOffset,
        p.endOffset,
        p.endOffset - p.startOffset,
      ]);
      io.out(table(['PARTITION', 'LEADER', 'START', 'END', 'RECORDS'], rows));
    }
    return EXIT.ok;
  },
};

export const remove: Command = {
  usage: 'topic delete NAME',
  summary: 'delete a topic with all its records',
  words: [1, 1],
  options: BROKERS_OPTION,
  async run([name = ''], values, io) {
    await withCluster(values, io, cluster => new Admin(cluster).topics.delete(name));
    io.out(`deleted ${name}\n`);
    return EXIT.ok;
  },
};

function configsOf(values: Values): Record<string, string> {
  const pairs = ((values['set'] ?? []) as string[]).map(pair => {
    const at = pair.indexOf('=');
    if (at < 1) throw usageError(`--set takes NAME=VALUE, not "${pair}"`);
    return [pair.slice(0, at), pair.slice(at + 1)] as const;
  });
  return Object.fromEntries(pairs);
}
