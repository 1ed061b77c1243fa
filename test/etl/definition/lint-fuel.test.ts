import { expect, test } from 'vitest';
import { lint, read } from './fixtures.ts';

/** What lint says about fuel, which is offered to modules of every kind. */

const pipeline = (step: string): string =>
  `name = "x"\n[source]\ntopic = "t"\n[[step]]\nname = "s"\n${step}\n[sinks.out.file]\npath = "p"\n`;
const withFuel = (fuel: string, module = 'passthrough'): string =>
  pipeline(`module = "${module}"\nlimits = { fuel = ${fuel} }`);

test.each(['passthrough', 'keep', 'wasm/mask.wasm'])('%s may have it', module => {
  expect(lint(withFuel('1', module))).toEqual([]);
  expect(read(withFuel('2_000_000', module)).plan?.steps[0]).toMatchObject({ fuel: 2_000_000 });
});

test('a step that does not ask for it has none', () => {
  expect(read(pipeline('module = "passthrough"')).plan?.steps[0]).not.toHaveProperty('fuel');
});

test.each([
  ['0', 'must be at least 1'],
  ['-5', 'must be at least 1'],
  ['1.5', 'expected a whole number'],
  ['"2M"', 'expected a number, found a string'],
])('fuel = %s is refused: %s', (fuel, why) => {
  expect(lint(withFuel(fuel))).toEqual([`7:19 \`step[0].limits.fuel\`: ${why}`]);
});
