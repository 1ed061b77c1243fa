import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { expect, it } from 'vitest';
import { compare, expectation } from '../../examples/expectation.ts';
import { makeDemoData } from '../../scripts/make-demo-data.ts';
import { type Emitted, Guest, type InputRecord, recordOf, textOf } from '../sdk/harness.ts';

/*
 * The demo pipeline's modules, with the configuration of its file, over all its data: what comes out is what
 * examples/expectation.ts computes without them.
 */
const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');
const ndjson = read('examples/data/birdstrikes.ndjson');

interface Step {
  name: string;
  module: string;
  config: Record<string, unknown>;
}
const pipeline = parse(read('pipelines/birdstrikes.toml')) as unknown as {
  step: Step[];
  outputs: Record<string, string>;
};
const outputs = Object.keys(pipeline.outputs);

function guestOf({ module, config }: Step): Guest {
  const guest = new Guest(readFileSync(`${root}modules/${module}/${module}.wasm`));
  const salted = JSON.parse(JSON.stringify(config).replace('${PII_SALT:-demo}', 'demo')) as unknown;
  expect(guest.init(salted, outputs)).toBe(0);
  return guest;
}

it('gives the demo exactly the lines and dead letters that were computed without it', () => {
  const lines = ndjson.split('\n').slice(0, -1);
  let records: { line: string; record: InputRecord }[] = lines.map(line => ({ line, record: recordOf(line) }));
  const dead: string[] = [];
  const found: Record<string, string[]> = { reports: [], costly: [], severe: [] };
  for (const [i, step] of pipeline.step.entries()) {
    const guest = guestOf(step);
    const next: typeof records = [];
    for (let from = 0; from < records.length; from += 500) {
      const batch = records.slice(from, from + 500);
      const emitted = guest.process(
        batch.map(each => each.record),
        from,
      );
      const lineOf = (index: number): string => batch[index]?.line ?? '';
      dead.push(...guest.failures.splice(0).map(({ index, code }) => `${code} ${lineOf(index)}`));
      for (const each of emitted) {
        if (each.route !== 0) found[outputs[each.route] ?? '']?.push(textOf(each) ?? '');
        else if (i < pipeline.step.length - 1)
          next.push({ line: lineOf(each.input), record: { ...each, timestamp: 0 } });
        else {
          found['reports']?.push(textOf(each) ?? '');
          if (tierOf(each) === 'costly') found['costly']?.push(textOf(each) ?? '');
        }
      }
    }
    records = next;
  }
  const expected = expectation(ndjson);
  expect(lines).toHaveLength(10_000);
  for (const [sink, wanted] of Object.entries(expected.sinks)) {
    expect(wanted.length).toBeGreaterThan(0);
    expect(found[sink]).toHaveLength(wanted.length);
    expect(compare(wanted, found[sink] ?? [])).toEqual({ missing: [], extra: [] });
  }
  expect(dead).toHaveLength(27);
  expect(dead).toEqual(expected.dead.map(({ code, value }) => `${code} ${value}`));
});

it('has demo data that the script makes again byte for byte', () => {
  expect(makeDemoData(read('examples/data/birdstrikes.csv')) === ndjson).toBe(true);
});

function tierOf(record: Emitted): string {
  const header = record.headers.find(([name]) => name === 'tier');
  return Buffer.from(header?.[1] ?? []).toString();
}
