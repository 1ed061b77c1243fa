import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { fileSink } from '../../../connectors/file/sink.ts';
import { sinkScenarios } from '../../../connectors/runtime/conformance.ts';
import { memoryWorld } from '../conformance-world.ts';
import { contextIn, record, temporaryDirectory } from '../support.ts';

describe('the file sink keeps exactly once when', () => {
  let directory: string;
  beforeEach(() => {
    directory = temporaryDirectory();
  });
  afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

  it.each(sinkScenarios)('$name', async ({ run }) => {
    const world = memoryWorld();
    const { produce } = world;
    // A batch cannot span timestamps that lie as far apart as the ones that are refused here.
    world.produce = (topic, partition, records) => {
      for (const one of records) produce(topic, partition, [one]);
    };
    const connector = fileSink();
    await run(
      {
        connector,
        config: connector.config.parse({ path: 'all-{yyyy}.ndjson' }),
        context: contextIn(directory, world.clock),
        row: id => record(JSON.stringify({ id })),
        badRow: id => record(JSON.stringify({ id }), { timestamp: 8.7e15 }),
        contents: async () =>
          fs
            .readFileSync(path.join(directory, 'all-2026.ndjson'), 'utf8')
            .trimEnd()
            .split('\n')
            .map(line => (JSON.parse(line) as { id: string }).id),
      },
      world,
    );
  });
});
