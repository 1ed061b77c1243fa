import { afterEach, describe, it } from 'vitest';
import { bigQuerySink } from '../../../connectors/bigquery/sink.ts';
import { sinkScenarios } from '../../../connectors/runtime/conformance.ts';
import { memoryWorld } from '../conformance-world.ts';
import { contextIn, record } from '../support.ts';
import { type FakeTable, fakeTable } from './fake-table.ts';

const storage = (stream: string): object => ({ write_method: { storage_write_api: { stream } } });

const METHODS: [name: string, config: object][] = [
  ['streaming inserts', { write_method: 'streaming_inserts' }],
  ['the default stream', storage('default')],
  ['a committed stream', storage('committed')],
  ['a buffered stream', storage('buffered')],
  ['pending streams', storage('pending')],
];

describe.each(METHODS)('%s keeps its guarantee when', (_, method) => {
  let table: FakeTable | null = null;
  afterEach(() => table?.close());

  it.each(sinkScenarios)('$name', { timeout: 60_000 }, async ({ run }) => {
    const world = memoryWorld();
    const { clock } = world;
    world.advance = async milliseconds => {
      await clock.advance(milliseconds);
      // Answers come over sockets.
      await new Promise(resolve => setTimeout(resolve, 3));
    };
    const made = await fakeTable();
    table = made;
    const connector = bigQuerySink();
    await run(
      {
        connector,
        config: made.config(method),
        context: contextIn('/', clock),
        row: id => record(JSON.stringify({ id, n: 1 })),
        badRow: id => record(JSON.stringify({ id, n: 'none' })),
        contents: () => made.ids(),
      },
      world,
    );
  });
});
