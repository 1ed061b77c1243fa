/** A pipeline that reads what another one writes finds the topic that the other one makes, whatever their names. */
import { expect, test } from 'vitest';
import { type Startable, startInOrder } from '../../server/start-order.ts';
import { startProject } from './support.ts';

const pipeline = (name: string, from: string, to: string): string =>
  `name = "${name}"\n[source]\ntopic = "${from}"\n[[step]]\nname = "s"\nmodule = "passthrough"\n[outputs]\ndefault = "${to}"\n`;

test('a topic between two pipelines has as many partitions as the first source', { timeout: 60_000 }, async () => {
  const project = await startProject({
    'millstream.toml':
      '[network]\nkafka_listen = "127.0.0.1:0"\nhttp_listen = "127.0.0.1:0"\n[topics.a]\npartition_count = 7\n',
    'pipelines/1-last.toml': pipeline('last', 'b', 'c'),
    'pipelines/2-first.toml': pipeline('first', 'a', 'b'),
  });
  try {
    const { server } = project;
    expect(server.pipelines.map(each => each.status().state)).toEqual(['running', 'running']);
    const partitions = ['a', 'b', 'c'].map(topic => server.broker.topics.get(topic)?.partitions.length);
    expect(partitions).toEqual([7, 7, 7]);
  } finally {
    await project.close();
  }
});

test('pipelines that go round in a circle all start', async () => {
  const started: string[] = [];
  const make = (from: string, to: string): Startable => ({
    plan: { source: { topic: from }, outputs: [{ topic: to }] },
    start: async () => void started.push(from),
  });
  await startInOrder([make('a', 'b'), make('b', 'c'), make('c', 'a'), make('own', 'own'), make('c', 'd')]);
  expect(started.toSorted()).toEqual(['a', 'b', 'c', 'c', 'own']);
});
