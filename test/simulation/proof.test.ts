import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Simulation } from './simulation.ts';

test('a seed gives the same run again', async () => {
  const [once, again] = [new Simulation(7), new Simulation(7)];
  expect(await once.run()).toEqual(await again.run());
  expect(once.trace()).toBe(again.trace());
});

test('checker and model know nothing of what they check', () => {
  const files = [
    ...readdirSync('test/simulation/checker').map(name => `checker/${name}`),
    ...['log-model.ts', 'transaction-model.ts'].map(name => `model/${name}`),
  ];
  for (const file of files) {
    const imports = readFileSync(`test/simulation/${file}`, 'utf8').match(/from '[^']+'/g) ?? [];
    for (const each of imports) expect(each).toMatch(/from '(\.\/[a-z-]+\.ts|node:zlib)'/);
  }
});
