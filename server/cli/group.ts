import { Admin } from '../../core/client/admin.ts';
import { type Command, EXIT, table } from './command.ts';
import { BROKERS_OPTION } from './target.ts';
import { withCluster } from './with-cluster.ts';

const OPTIONS = { ...BROKERS_OPTION, json: { type: 'boolean', help: 'as JSON' } } as const;

export const list: Command = {
  usage: 'group list [--json]',
  summary: 'list the consumer groups; those of pipelines and sinks begin with `millstream.`',
  words: [0, 0],
  options: OPTIONS,
  async run(_words, values, io) {
    const groups = await withCluster(values, io, cluster => new Admin(cluster).groups.list());
    if (values['json'] === true) io.out(`${JSON.stringify(groups, null, 2)}\n`);
    else if (groups.length === 0) io.err('no groups yet; `millstream consume TOPIC --group GROUP` makes one\n');
    else {
      const rows = groups.map(({ group, state, protocolType }) => [group, state, protocolType]);
      io.out(table(['GROUP', 'STATE', 'TYPE'], rows));
    }
    return EXIT.ok;
  },
};

export const describe: Command = {
  usage: 'group describe GROUP [--json]',
  summary: "show a group's members, positions and lag",
  words: [1, 1],
  options: OPTIONS,
  async run([name = ''], values, io) {
    const group = await withCluster(values, io, cluster => new Admin(cluster).groups.describe(name));
    if (values['json'] === true) io.out(`${JSON.stringify(group, null, 2)}\n`);
    else {
      const { length } = group.members;
      io.out(`${group.group}  ${group.state}  ${length} ${length === 1 ? 'member' : 'members'}\n`);
      if (group.positions.length === 0) io.err('it has committed no position yet\n');
      if (group.positions.length === 0) return EXIT.ok;
      const rows = group.positions.map(p => [
        p.topic,
        p.partition,
        p.committed ?? '-',
        p.end ?? '-',
        p.lag ?? '-',
        p.memberId ?? '-',
      ]);
      io.out(table(['TOPIC', 'PARTITION', 'COMMITTED', 'END', 'LAG', 'MEMBER'], rows));
    }
    return EXIT.ok;
  },
};
