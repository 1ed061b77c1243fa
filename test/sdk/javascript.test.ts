import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '../../core/base/logger.ts';
import { encodeBatch, type NewRecord } from '../../core/engine/records.ts';
import type { ChainStep, Lane, Sandbox } from '../../etl/sandbox/sandbox.ts';
import { compileModule } from '../../sdk/javascript/compile.ts';
import { chainOf, moduleOf, stepOf } from '../etl/sandbox/guests.ts';
import { outputOf, record, taskOf, testSandbox, TIME, valuesOf } from '../etl/sandbox/harness.ts';

/* A module in TypeScript, compiled with what `npm ci` brings, in the real sandbox. */

const lines: string[] = [];
const log = (line: string): void => void lines.push(line);
let sandbox: Sandbox;
let lane: Lane;
let module: ChainStep['module'];

beforeAll(async () => {
  module = moduleOf(await compileModule(fileURLToPath(new URL('./javascript-fixture', import.meta.url))));
  sandbox = testSandbox(1, { ...silentLogger, warn: log, error: log });
  lane = sandbox.openLane(chainOf([stepOf(module, { config: { greeting: 'hello' }, timeMs: 1000 })]));
}, 120_000);
afterAll(() => sandbox.close());

const run = (records: NewRecord[]) => lane.run(taskOf([encodeBatch(records)]));
const doing = (what: unknown, more: Partial<NewRecord> = {}): NewRecord => record(JSON.stringify({ do: what }), more);

describe('a module in JavaScript', () => {
  it('is a component', () => {
    expect(module.abi).toBe('millstream-component');
    expect(module.state).toBeNull();
  });

  it('passes, drops, changes and routes records', async () => {
    const key = Buffer.from('k1');
    const headers = [
      ['old', Buffer.from('1')],
      ['kept', null],
    ] as const;
    const result = await run([doing('pass', { key }), doing('drop'), doing('change', { key, headers }), doing('both')]);
    const out = outputOf(result);
    expect(valuesOf(out)).toEqual(['{"do":"pass"}', '{"said":"HELLO!"}', 'é'.repeat(100)]);
    expect(out[0]?.key).toEqual(new Uint8Array(key));
    expect(Buffer.from(out[1]?.key ?? []).toString()).toBe('k2');
    expect(out[1]?.headers.map(([name, value]) => [name, value && Buffer.from(value).toString()])).toEqual([
      ['kept', null],
      ['tier', 'gold'],
    ]);
    expect([out[1]?.timestamp, out[2]?.timestamp]).toEqual([TIME, 7]);
    expect(outputOf(result, 1).map(({ value }) => value)).toEqual([new Uint8Array([1, 2])]);
    expect(result.steps[0]).toMatchObject({ in: 4, emitted: 3, dropped: 1, out: 4 });
  });

  it('writes what is far bigger than what came, and what came behind it', async () => {
    const headers = [['old', Buffer.from('1')]] as const;
    const out = outputOf(await run([doing('pass'), doing('grow', { headers }), doing('pass', { headers })]));
    expect(out.map(({ key, value }) => [key?.length ?? 0, value?.length])).toEqual([
      [0, 13],
      [200_000, 600_000],
      [0, 13],
    ]);
    expect(out.map(each => each.headers.length)).toEqual([0, 1, 1]);
  });

  it('takes tombstones when it says so', async () => {
    const [out] = outputOf(await run([record(null)]));
    expect([out?.value, out?.headers[0]?.[0]]).toEqual([null, 'was']);
  });

  it('sees a clock and chance that hang on the record alone', async () => {
    const described = async () =>
      valuesOf(
        outputOf(await run([doing('describe', { key: Buffer.from('é'), headers: [['old', Buffer.from('x')]] })])),
      );
    const [first, again] = [await described(), await described()];
    expect(JSON.parse(first[0] ?? '')).toEqual(['é', 'x', 0, TIME, TIME, expect.any(Number)]);
    expect(again).toEqual(first);
  });

  it('fails records with a code, and what it throws costs one record', async () => {
    const records = ['pass', 'refuse', 'crash', 'nowhere', 7, 'pass'].map(what => doing(what));
    const result = await run([...records, record('not JSON')]);
    expect(valuesOf(outputOf(result))).toHaveLength(2);
    expect(result.dead?.letters.map(({ offset, code, reason }) => [offset, code, reason])).toEqual([
      [1, 'TOO_SMALL', 'it is too small'],
      [2, 'MODULE_THREW', expect.stringMatching(/^TypeError: .*undefined \(at transform@src\/index\.ts:38:\d+\)$/)],
      [3, 'UNKNOWN_OUTPUT', expect.stringContaining('"nowhere"')],
      [4, 'MODULE_THREW', expect.stringContaining('transform must return a record')],
      [6, 'INVALID_JSON', expect.stringContaining('JSON.parse')],
    ]);
  });

  it('writes its console to the log, with the stack of what it threw', () => {
    expect(lines).toContainEqual('outputs ["default","suspect"]');
    expect(lines).toContainEqual(expect.stringMatching(/^TypeError.*\n +at transform@src\/index\.ts:38:/));
  });

  it('costs one record when it never returns', async () => {
    const result = await run([doing('pass'), doing('spin'), doing('pass')]);
    expect(result.dead?.letters).toMatchObject([{ offset: 1, code: 'TIMEOUT' }]);
    expect(valuesOf(outputOf(result))).toHaveLength(2);
  });

  it('refuses a configuration with its own words', async () => {
    await expect(sandbox.probe(chainOf([stepOf(module, { config: {} })]))).rejects.toMatchObject({
      code: 'MODULE_INIT_FAILED',
      message: expect.stringContaining('`greeting` must be a text'),
    });
  });

  it('lives within its memory limit, however much it makes', { timeout: 120_000 }, async () => {
    let records = 0;
    for (let i = 0; i < 40; i++) {
      const result = await run(Array.from({ length: 500 }, () => doing('change')));
      records += outputOf(result).length;
    }
    expect(records).toBe(20_000);
  });
});
