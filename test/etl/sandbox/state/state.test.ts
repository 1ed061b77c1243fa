import { afterAll, describe, expect, it } from 'vitest';
import type { Lane } from '../../../../etl/sandbox/sandbox.ts';
import { taskOf, testSandbox } from '../harness.ts';
import { Committed, keeperChain, runAll, timed } from './fixture.ts';

const sandbox = testSandbox();
afterAll(() => sandbox.close());

async function open(more: Parameters<typeof keeperChain>[0] = {}, from?: Committed): Promise<Lane> {
  return sandbox.openLane(await keeperChain(more), from?.state);
}

describe('what a step keeps', () => {
  it('is seen by the records and the tasks behind it, and goes on from the changelog', async () => {
    const first = new Committed();
    const lane = await open();
    await runAll(lane, ['+a', '+b', '+a', '-b ?b', '=c:x ?c', '*'], 2, first);
    expect(first.outputs).toEqual(['a=1', 'b=1', 'a=2', 'b', 'c=x', 'a=2,c=x,']);
    await lane.close();

    const second = new Committed();
    await runAll(await open({}, first), ['+a', '?b ?c', '*'], 1, second);
    expect(second.outputs).toEqual(['a=3', 'b', 'c=x', 'a=3,c=x,']);
    expect(first.changelog).toMatchObject({ 'v/keep/a': '2', 'v/keep/c': 'x' });
    expect(first.changelog['h/keep']).toBe('{"v":1,"state_version":1,"partitions":1}');
    expect(Object.keys(first.changelog)).not.toContain('v/keep/b');
  });

  it('is the same whatever the size of the calls, also behind records that fail, trap or give too much', async () => {
    const values = [
      '+a',
      '+b +a #',
      '+a',
      '+a =x:1 !',
      '+a',
      '?x',
      '=y:1 +a %2000000',
      '?y +a',
      '-a !',
      '+a',
      '+c -a #',
      '*',
    ];
    const runs = await Promise.all(
      [1, 2, 5, 12].map(async size => {
        const run = new Committed();
        await runAll(await open(), values, size, run);
        return { outputs: run.outputs, letters: run.letters, values: run.changelog };
      }),
    );
    expect(runs[0]?.outputs).toEqual(['a=1', 'a=2', 'a=3', 'x', 'y', 'a=4', 'a=5', 'a=5,']);
    expect(runs[0]?.letters).toEqual(['1 REFUSED', '3 TRAP', '6 OUTPUT_TOO_LARGE', '8 TRAP', '10 REFUSED']);
    for (const run of runs) expect(run).toEqual(runs[0]);
  });

  it('holds nothing of a record that never returned', async () => {
    const run = new Committed();
    await runAll(await open({ timeMs: 50 }), ['+a', '+a =x:1 ~', '+a ?x'], 3, run);
    expect(run.outputs).toEqual(['a=1', 'a=2', 'x']);
    expect(run.letters).toEqual(['1 TIMEOUT']);
  });

  it('survives the thread that another lane brings down', async () => {
    const [one, other] = [await open(), await open({ timeMs: 50 })];
    const run = new Committed();
    await runAll(one, ['+a', '+a'], 1, run);
    await other.run(taskOf([timed([[0, '~']])]));
    await runAll(one, ['+a'], 1, run);
    expect(run.outputs).toEqual(['a=1', 'a=2', 'a=3']);
  });

  it('ends before the record at which the policy says stop', async () => {
    const run = new Committed();
    const lane = await open({ onError: 'stop' });
    const result = run.take(
      await lane.run(
        taskOf([
          timed([
            [0, '+a'],
            [1, '+a'],
            [2, '+a #'],
            [3, '+a'],
          ]),
        ]),
      ),
    );
    expect(result.stopped).toMatchObject({ offset: 2 });
    expect(run.changelog).toMatchObject({ 'v/keep/a': '2' });
  });

  it('is refused beyond its limits, and the record that wants more is a dead letter', async () => {
    const run = new Committed();
    const lane = await open({ stateBytes: 4096 });
    await runAll(lane, ['+a', '&5000', '+a', '&300000', `=${'k'.repeat(1025)}:1`, '=:1', '*'], 3, run);
    expect(run.outputs).toEqual(['a=1', 'a=2', 'a=2,']);
    expect(run.letters).toEqual([
      '1 STATE_FULL',
      '3 STATE_VALUE_TOO_LONG',
      '4 STATE_KEY_TOO_LONG',
      '5 STATE_KEY_TOO_LONG',
    ]);
  });

  it('cannot be changed without end: what can be taken back takes room', async () => {
    const run = new Committed();
    const lane = await open({ timeMs: 20_000, memoryBytes: 512 * 2 ** 20 });
    await runAll(lane, ['+a', '+a $', '+a ?odd', `${'=one:1 =one:2 '.repeat(50)}?one`], 4, run);
    expect(run.outputs).toEqual(['a=1', 'a=2', 'odd', 'one=2']);
    expect(run.letters).toEqual(['1 STATE_TOO_MANY_CHANGES']);
  });

  it('walks more entries than fit the buffer of a scan', async () => {
    const run = new Committed();
    const lane = await open();
    const puts = Array.from({ length: 3000 }, (_, i) => `=k${String(i).padStart(5, '0')}:${'v'.repeat(i % 40)}`);
    await runAll(lane, [...puts, '&20000', '*k', '*b'], 500, run);
    const all = puts.map(put => `${put.slice(1).replace(':', '=')},`).join('');
    expect(run.letters).toEqual([]);
    expect(run.outputs.join('') === `${all}big=${'v'.repeat(20_000)},`).toBe(true);
  });

  it('makes a snapshot once the changelog is much longer than what there is', async () => {
    const lane = await open();
    const run = new Committed();
    await runAll(
      lane,
      Array.from({ length: 40 }, () => '&100000'),
      1,
      run,
    );
    await runAll(lane, ['+a'], 1, run);
    // The thread goes; what the next one begins with is the snapshot and what came behind it.
    await (await open({ timeMs: 50 })).run(taskOf([timed([[0, '~']])]));
    await runAll(lane, ['+a', '?c'], 1, run);
    expect(run.outputs).toEqual(['a=1', 'a=2', 'c']);
  });
});

describe('a changelog that is not the step’s', () => {
  const kept = async (): Promise<Committed> => {
    const run = new Committed();
    await runAll(await open(), ['+a'], 1, run);
    return run;
  };
  const refusal = async (more: Parameters<typeof keeperChain>[0], from: object): Promise<string> => {
    const lane = sandbox.openLane(await keeperChain(more), { ...(await kept()).state, ...from });
    return lane.run(taskOf([])).then(
      () => 'nothing',
      (error: Error & { code: string }) => `${error.code}: ${error.message}`,
    );
  };

  it('is refused', async () => {
    expect(await refusal({}, {})).toBe('nothing');
    expect(await refusal({}, { partitions: 2 })).toMatch(
      /^STATE_REFUSED: .*that of 1 source partitions, now there are 2/,
    );
    expect(await refusal({}, { entries: 7 })).toMatch(/^STATE_REFUSED: .*gives 1 entries of state, .* left 7/);
    expect(await refusal({ name: 'other' }, {})).toMatch(/^STATE_REFUSED: .*state of a step `keep`/);
    const chain = await keeperChain();
    const step = chain.steps[0] as (typeof chain.steps)[number];
    const module = { ...step.module, state: { version: 2, timers: true } };
    const lane = sandbox.openLane({ ...chain, steps: [{ ...step, module }] }, (await kept()).state);
    await expect(lane.run(taskOf([]))).rejects.toMatchObject({
      kind: 'conflict',
      message: /has version 1, .* version 2/,
    });
  });
});
