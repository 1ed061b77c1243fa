import { afterAll, describe, expect, it } from 'vitest';
import type { Lane } from '../../../../etl/sandbox/sandbox.ts';
import { readRecords } from '../../../../core/engine/records.ts';
import { TIME, taskOf, testSandbox } from '../harness.ts';
import { Committed, keeperChain, timed } from './fixture.ts';

const sandbox = testSandbox();
afterAll(() => sandbox.close());

async function open(more: Parameters<typeof keeperChain>[0] = {}, from?: Committed): Promise<Lane> {
  return sandbox.openLane(await keeperChain(more), from?.state);
}

async function runTimed(
  lane: Lane,
  records: [at: number, value: string][],
  size: number,
  to: Committed,
): Promise<void> {
  for (let at = 0; at < records.length; at += size) {
    to.take(await lane.run(taskOf([timed(records.slice(at, at + size), at)])));
  }
}

const tickTo = (lane: Lane, at: number, from = 0) => lane.run({ ...taskOf([], { from }), tick: TIME + at });

describe('timers', () => {
  it('come before the record that brings their time, in order, whatever the size of the calls', async () => {
    const records: [number, string][] = [
      [0, '@50:late @20:b @20:a ^'],
      [10, '+x'],
      [20, '+x'],
      [5, '+x ^'],
      [60, '@55:past @100:+chain/@90:again,+y ^'],
      [61, '+x'],
      [61, '+x !'],
      [200, '#'],
      [300, '?timers ?y'],
      [310, '*'],
    ];
    const runs = await Promise.all(
      [1, 3, 4, 10].map(async size => {
        const run = new Committed();
        await runTimed(await open(), records, size, run);
        return { outputs: run.outputs, letters: run.letters, changelog: run.changelog };
      }),
    );
    expect(runs[0]?.outputs).toEqual([
      '0',
      'x=1',
      'timer a',
      'timer b',
      'x=2',
      'x=3',
      '20',
      'timer late',
      '60',
      'timer past',
      'x=4',
      'timer +chain/@90:again,+y',
      'y=1',
      'timer again',
      'timers=6',
      'y=1',
      'timers=6,x=4,y=1,',
    ]);
    expect(runs[0]?.letters).toEqual(['6 TRAP', '7 REFUSED']);
    expect(runs[0]?.changelog['c/keep']).toBe(String(TIME + 310));
    for (const run of runs) expect(run).toEqual(runs[0]);
  });

  it('do not come with a tombstone that goes around the module', async () => {
    for (const size of [1, 5]) {
      const run = new Committed();
      const lane = await open();
      const records: [number, string | null][] = [
        [0, '@10:t'],
        [20, null],
        [5, '^'],
        [21, '+a'],
        [30, null],
      ];
      for (let at = 0; at < records.length; at += size) {
        run.take(await lane.run(taskOf([timed(records.slice(at, at + size), at)])));
      }
      expect(run.outputs).toEqual(['null', '5', 'timer t', 'a=1', 'null']);
      expect(run.changelog['c/keep']).toBe(String(TIME + 21));
    }
  });

  it('stamp what they emit with their time', async () => {
    const lane = await open();
    const result = await lane.run(
      taskOf([
        timed([
          [0, '@50:t'],
          [70, '+a'],
        ]),
      ]),
    );
    const stamps = result.outputs.flatMap(({ batch }) => readRecords(batch)).map(({ timestamp }) => timestamp - TIME);
    expect(stamps).toEqual([50, 70]);
    expect(result).toMatchObject({ records: 2, ends: { emitted: 1, dropped: 1, passed: 0, dead: 0 } });
    expect(result.steps[0]).toMatchObject({ in: 2, emitted: 1, dropped: 1, out: 2 });
  });

  it('are found again in the changelog, with the step’s time', async () => {
    const first = new Committed();
    const lane = await open();
    await runTimed(
      lane,
      [
        [0, '@50:t'],
        [40, '+a'],
      ],
      1,
      first,
    );
    const second = new Committed();
    const next = await open({}, first);
    const probe = await next.run(taskOf([]));
    expect(probe.state).toMatchObject({ batches: [], nextTimer: TIME + 50 });
    await runTimed(
      next,
      [
        [30, '^'],
        [51, '?timers'],
      ],
      1,
      second,
    );
    expect(second.outputs).toEqual(['40', 'timer t', 'timers=1']);
  });

  it('that fail cost themselves alone, and what they wrote is gone', async () => {
    for (const [how, code, limits = { timeMs: 50 }] of [
      ['#', 'REFUSED'],
      ['!', 'TRAP'],
      ['~', 'TIMEOUT'],
      ['~', 'FUEL', { timeMs: 5000, fuel: 1_000_000 }],
      ['%2000000', 'OUTPUT_TOO_LARGE'],
    ] as [string, string, object?][]) {
      const run = new Committed();
      const lane = await open(limits);
      await runTimed(
        lane,
        [
          [0, `@10:a @11:bad/=x:1,${how} @12:b +n`],
          [20, '+n ?x ?timers'],
          [21, '?timers'],
        ],
        3,
        run,
      );
      expect(run.outputs).toEqual(['n=1', 'timer a', 'timer b', 'n=2', 'x', 'timers=2', 'timers=2']);
      expect(run.letters).toEqual([`1 ${code}`]);
    }
  });

  it('come to an idle partition by a tick, which the changelog keeps', async () => {
    const run = new Committed();
    const lane = await open();
    await runTimed(
      lane,
      [
        [0, '@50:t @90:u'],
        [10, '+a'],
      ],
      2,
      run,
    );
    const early = await tickTo(lane, 49, 2);
    expect(early.outputs).toEqual([]);
    const result = run.take(await tickTo(lane, 60, 2));
    expect(result).toMatchObject({ records: 0, ends: { emitted: 0, dropped: 0 }, state: { nextTimer: TIME + 90 } });
    expect(result.outputs[0]?.origins).toBeNull();
    expect(run.changelog['c/keep']).toBe(String(TIME + 60));
    await runTimed(
      await open({}, run),
      [
        [20, '^ ?timers'],
        [55, '@58:v'],
        [56, '^'],
      ],
      1,
      run,
    );
    expect(run.outputs.slice(1)).toEqual(['timer t', '60', 'timers=1', 'timer v', '60']);
  });

  it('stop the pipeline before the record that brought them, when the policy says so', async () => {
    const run = new Committed();
    const lane = await open({ onError: 'stop' });
    const result = run.take(
      await lane.run(
        taskOf([
          timed([
            [0, '@10:a/! +n'],
            [5, '+n'],
            [20, '+n'],
          ]),
        ]),
      ),
    );
    expect(result.stopped).toMatchObject({ offset: 2, code: 'TRAP' });
    expect(run.outputs).toEqual(['n=1', 'n=2']);
    expect(Object.keys(run.changelog).filter(key => key.startsWith('t/'))).toHaveLength(1);
  });

  it('give records to the steps behind theirs, each of which has its own state', async () => {
    const chain = await keeperChain();
    const [step] = chain.steps as [(typeof chain.steps)[number]];
    const lane = sandbox.openLane({ ...chain, steps: [step, { ...step, name: 'second' }] });
    const run = new Committed();
    // What the first step emits is what the second one does: `+=q` adds one to `=q`.
    await runTimed(
      lane,
      [
        [0, '=+:q @10:t/?+'],
        [20, '@50:t/?+'],
      ],
      2,
      run,
    );
    run.take(await tickTo(lane, 99, 2));
    expect(run.outputs).toEqual(['=q=1', '=q=2']);
    expect(run.letters).toEqual([]);
    expect(run.changelog).toMatchObject({ 'v/keep/+': 'q', 'v/second/=q': '2', 'v/keep/timers': '2' });
  });

  it('of more than a thousand keys come in several calls', async () => {
    const run = new Committed();
    const lane = await open({ timeMs: 2000 });
    const words = Array.from({ length: 2500 }, (_, i) => `@10:k${String(i).padStart(4, '0')}`);
    const spread = Array.from({ length: 25 }, (_, i): [number, string] => [
      0,
      words.slice(i * 100, i * 100 + 100).join(' '),
    ]);
    await runTimed(lane, [...spread, [10, '?timers']], 26, run);
    expect(run.outputs).toHaveLength(2501);
    expect(run.outputs.slice(0, 2)).toEqual(['timer k0000', 'timer k0001']);
    expect(run.outputs.at(-1)).toBe('timers=2500');
  });
});
