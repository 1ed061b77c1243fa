import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { sinkScenarios } from '../../../connectors/runtime/conformance.ts';
import type {
  PartitionWriter,
  SinkConnector,
  SinkPartition,
  WriteResult,
} from '../../../connectors/runtime/contract.ts';
import { SinkError } from '../../../connectors/runtime/sink-error.ts';
import { memoryWorld } from '../conformance-world.ts';
import { valuesOf } from '../hostile-sink.ts';
import { contextIn, record } from '../support.ts';

/** What is wrong with the connector. */
interface Fault {
  /** A new owner leaves rows that the old one wrote and did not commit. */
  keepsUncommitted?: boolean;
  /** A writer that was fenced may go on. */
  letsZombiesWrite?: boolean;
  /** Rows are acknowledged before the system has them; a new owner finds the last ones missing. */
  acknowledgesEarly?: boolean;
  /** Rows that the system refuses are dropped in silence. */
  dropsBadRows?: boolean;
  /** An outage is taken for the rows' fault. */
  blamesRows?: boolean;
  guarantee?: 'at-least-once';
}

/** A connector to a system in memory that knows owners and lengths: exactly once, when it has no fault. */
function lengthConnector(fault: Fault): { connector: SinkConnector; contents: () => string[] } {
  const system = new Map<number, { owner: number; rows: string[] }>();
  let owners = 0;
  const acquire = async ({ partition, state }: SinkPartition): Promise<PartitionWriter> => {
    const stream = system.get(partition) ?? { owner: 0, rows: [] };
    system.set(partition, stream);
    const me = ++owners;
    stream.owner = me;
    if (!fault.keepsUncommitted) stream.rows.length = Math.min(stream.rows.length, Number(state ?? 0));
    let late: string[] = [];
    let length = stream.rows.length;
    let last = { offset: -1, length };
    return {
      async write({ rows }): Promise<WriteResult> {
        if (stream.owner !== me && !fault.letsZombiesWrite) throw new SinkError('fenced', 'FENCED', 'another owner');
        const values = valuesOf(rows);
        const rejected = values.flatMap((value, row) =>
          value.startsWith('bad') ? [{ row, code: 'BAD', reason: 'the row is bad' }] : [],
        );
        const good = values.filter(value => !value.startsWith('bad'));
        if (fault.acknowledgesEarly) {
          stream.rows.push(...late);
          late = good;
        } else {
          // A retry writes the same place again.
          const offset = rows[0]?.record.offset ?? 0;
          if (offset <= last.offset) length = last.length;
          last = { offset, length };
          if (!fault.keepsUncommitted && !fault.letsZombiesWrite) stream.rows.length = length;
          stream.rows.push(...good);
        }
        length += good.length;
        return { state: String(length), ...(fault.dropsBadRows ? {} : { rejected }) };
      },
      async close() {
        if (stream.owner === me) stream.rows.push(...late.splice(0));
      },
    };
  };
  const connector: SinkConnector = {
    type: 'length',
    description: 'for tests',
    config: z.unknown(),
    caps: () => ({ guarantee: fault.guarantee ?? 'exactly-once', maxInFlight: 1, maxRows: 100, maxBytes: 1e6 }),
    open: async () => ({ acquire, close: async () => {} }),
  };
  return { connector, contents: () => [...system.values()].flatMap(({ rows }) => rows) };
}

async function run(scenario: (typeof sinkScenarios)[number], fault: Fault): Promise<void> {
  const world = memoryWorld();
  const { connector, contents } = lengthConnector(fault);
  const fixture = {
    connector,
    config: {},
    context: contextIn('/', world.clock),
    row: (id: string) => record(id),
    badRow: (id: string) => record(`bad ${id}`),
    contents: async () => contents(),
  };
  await scenario.run(fixture, world);
}

/** The scenarios that find the fault; the two that wait for long are left out. */
async function failing(fault: Fault): Promise<string[]> {
  const failed: string[] = [];
  for (const scenario of sinkScenarios.filter(({ name }) => !name.startsWith('the system'))) {
    await run(scenario, fault).catch((error: Error) => failed.push(`${scenario.name}: ${error.message.split(':')[0]}`));
  }
  return failed;
}

describe('the conformance kit', () => {
  it.each(sinkScenarios)('passes an exactly-once connector without a fault when $name', async scenario => {
    await run(scenario, {});
  });

  it('finds rows that come twice where exactly once is declared', async () => {
    const failed = await failing({ keepsUncommitted: true });
    expect(failed).toContain('a crash after write 2 is sent: more than once');
    expect(failed).toContain('acknowledgements get lost: more than once');
    expect(failed).toContain('crashes at random: more than once');
  });

  it('lets rows come twice where at least once is declared', async () => {
    expect(await failing({ keepsUncommitted: true, guarantee: 'at-least-once' })).toEqual([]);
  });

  it('finds owners that write after they were fenced', async () => {
    expect(await failing({ letsZombiesWrite: true })).toContain(
      'an owner that lost its lease goes on writing: more than once',
    );
  });

  it('finds rows that are acknowledged and lost', async () => {
    const failed = await failing({ acknowledgesEarly: true, keepsUncommitted: true, guarantee: 'at-least-once' });
    expect(failed).toContain('crashes at random: lost');
  });

  it('finds bad rows that are dropped in silence', async () => {
    expect(await failing({ dropsBadRows: true })).toContain(
      'refused rows: the first: 3 rows were to be refused, there are 0 dead letters or other ones',
    );
  });
});
