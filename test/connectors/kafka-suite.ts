import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it, vi } from 'vitest';
import { bigQuerySink } from '../../connectors/bigquery/sink.ts';
import { fileSink } from '../../connectors/file/sink.ts';
import { sinkScenarios } from '../../connectors/runtime/conformance.ts';
import { type FakeTable, fakeTable } from './bigquery/fake-table.ts';
import { type KafkaWorld, kafkaWorld } from './kafka-world.ts';
import { contextIn, record, temporaryDirectory } from './support.ts';

/** Brokers without topics and groups. */
export interface EmptyBrokers {
  bootstrap: string;
  /** Ends them, or empties them for the next. */
  done(): Promise<void>;
}

/** The conformance kit of connectors on engine `kafka`. `methods`: of the BigQuery sink. */
export function kafkaSinkSuite(
  name: string,
  open: () => Promise<EmptyBrokers>,
  methods: Readonly<Record<string, object | string>>,
): void {
  vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });
  let brokers: EmptyBrokers;
  let world: KafkaWorld;
  beforeEach(async () => {
    brokers = await open();
    world = kafkaWorld(brokers.bootstrap, 'kit.dead');
  });
  afterEach(async () => {
    await world.close();
    await brokers.done();
  });

  describe(`on engine kafka, ${name}, the file sink keeps exactly once when`, () => {
    let directory: string;
    beforeEach(() => {
      directory = temporaryDirectory();
    });
    afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

    it.each(sinkScenarios)('$name', async ({ run }) => {
      const { produce } = world;
      // A batch cannot span timestamps that lie as far apart as the ones that are refused here.
      world.produce = (topic, partition, records) => {
        for (const one of records) produce(topic, partition, [one]);
      };
      const connector = fileSink();
      const lines = (): string[] =>
        fs.readFileSync(path.join(directory, 'all-2026.ndjson'), 'utf8').trimEnd().split('\n');
      await run(
        {
          connector,
          config: connector.config.parse({ path: 'all-{yyyy}.ndjson' }),
          context: contextIn(directory, world.clock),
          row: id => record(JSON.stringify({ id })),
          badRow: id => record(JSON.stringify({ id }), { timestamp: 8.7e15 }),
          contents: async () => lines().map(line => (JSON.parse(line) as { id: string }).id),
        },
        world,
      );
    });
  });

  describe.each(Object.entries(methods))(
    `on engine kafka, ${name}, BigQuery by %s keeps its guarantee when`,
    (_, method) => {
      let table: FakeTable | null = null;
      afterEach(() => table?.close());

      it.each(sinkScenarios)('$name', async ({ run }) => {
        const made = await fakeTable();
        table = made;
        const connector = bigQuerySink();
        await run(
          {
            connector,
            config: made.config({ write_method: method }),
            context: contextIn('/', world.clock),
            row: id => record(JSON.stringify({ id, n: 1 })),
            badRow: id => record(JSON.stringify({ id, n: 'none' })),
            contents: () => made.ids(),
          },
          world,
        );
      });
    },
  );
}
