import { afterAll, expect, it } from 'vitest';
import { testSandbox } from '../harness.ts';
import { Committed, keeperChain, runAll } from './fixture.ts';

const sandbox = testSandbox();
afterAll(() => sandbox.close());

async function run(values: string[], fuel: number): Promise<Committed> {
  const lane = sandbox.openLane(await keeperChain({ fuel, timeMs: 5000 }));
  const done = new Committed();
  await runAll(lane, values, 4, done);
  await lane.close();
  return done;
}

/** The least fuel with which none of them dies. */
async function leastFor(values: string[]): Promise<number> {
  let [short, enough] = [0, 1_000_000];
  while (enough - short > 1) {
    const middle = Math.floor((short + enough) / 2);
    if ((await run(values, middle)).letters.length > 0) short = middle;
    else enough = middle;
  }
  return enough;
}

it('a record that is out of fuel has written nothing, whichever run of its trial, and its neighbours everything', async () => {
  const values = ['+n', '+n', '+n ?n ?n ?n', '+m ?n'];
  const least = await leastFor(values);
  expect((await run(values, least)).outputs).toEqual(['n=1', 'n=2', 'n=3', 'n=3', 'n=3', 'n=3', 'm=1', 'n=3']);
  const { outputs, letters } = await run(values, least - 1);
  expect(letters).toEqual(['2 FUEL']);
  expect(outputs).toEqual(['n=1', 'n=2', 'm=1', 'n=2']);
});
