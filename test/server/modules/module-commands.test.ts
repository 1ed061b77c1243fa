import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '../support.ts';

/* `millstream module …` in a project folder, without a server. */

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'millstream-modules-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const run = (args: string[], input = '') => runCommand(args, { cwd: folder, input });
const targets = spawnSync('rustc', ['--print', 'target-libdir', '--target', 'wasm32-unknown-unknown'], {
  encoding: 'utf8',
});
const hasRust = targets.status === 0 && existsSync(targets.stdout.trim());

describe('module new, build and test', () => {
  it('makes a module in AssemblyScript whose cases pass', async () => {
    expect(await run(['module', 'new', 'orders'])).toMatchObject({
      code: 0,
      err: 'Next: millstream module test orders\n',
    });
    const tested = await run(['module', 'test', 'orders']);
    expect([tested.code, tested.err]).toEqual([0, '']);
    expect(tested.out).toContain('  ok      a big order, as the config has it\n');
    expect(tested.out).toMatch(/modules\/orders\/cases\.toml: 5 cases passed\n$/);
    expect(readFileSync(join(folder, 'modules/orders/orders.wasm')).subarray(0, 4).toString('hex')).toBe('0061736d');
  });

  it.skipIf(!hasRust)('makes a module in Rust whose cases pass (needs the target wasm32-unknown-unknown)', async () => {
    await run(['module', 'new', 'orders_rs', '--lang', 'rust']);
    const { code, out, err } = await run(['module', 'test', 'orders_rs']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/orders_rs\/cases\.toml: 5 cases passed\n$/);
    const odd = await run(
      ['module', 'test', 'orders_rs', '-'],
      '{"total":1e4,"s":"\\u00e9\\ud83d\\ude00\\ud800"}\n[1\n',
    );
    expect(odd.out).toContain(String.raw`{\"total\":1e4,\"s\":\"é😀�\",\"big\":true}`);
    expect(odd.out).toContain(
      `{"failed":{"code":"INVALID_JSON","reason":"at byte 2: expected ',' or ']', got the end"}}`,
    );
    const source = join(folder, 'modules/orders_rs/src/lib.rs');
    writeFileSync(
      source,
      readFileSync(source, 'utf8').replace('let big =', 'assert!(total != 13.0, "bad luck"); let big ='),
    );
    const panicked = await run(['module', 'test', 'orders_rs', '-'], '{"total":13}\n{"total":14}\n');
    expect(panicked.out).toMatch(
      /^\{"failed":\{"code":"MODULE_THREW","reason":"panicked at src\/lib\.rs:\d+:\d+:\\nbad luck/,
    );
    expect(panicked.out).toContain(String.raw`{\"total\":14,\"big\":false}`);
  });

  it('runs lines of the standard input', async () => {
    const { code, out } = await run(
      ['module', 'test', 'orders', '-', '--with', '{"big_from":1}'],
      '{"total":2}\n{"test":true}\nno',
    );
    expect(code).toBe(1);
    expect(
      out
        .split('\n')
        .slice(0, 3)
        .map(line => JSON.parse(line)),
    ).toEqual([
      { value: '{"total":2,"big":true}', key: null, headers: [['size', 'big']], output: 'default' },
      { dropped: true },
      { failed: { code: 'INVALID_JSON', reason: expect.stringContaining('at byte 0') } },
    ]);
  });

  it('says what differs, where, and ends with 1', async () => {
    const cases = join(folder, 'modules/orders/cases.toml');
    const before = readFileSync(cases, 'utf8');
    writeFileSync(cases, before.replace('"big":false', '"big":null').replace('"NO_TOTAL"', '"NONE"'));
    const { code, out } = await run(['module', 'test', 'orders']);
    writeFileSync(cases, before);
    expect(code).toBe(1);
    expect(out).toContain('  FAILED  a small order  (modules/orders/cases.toml:3)');
    expect(out).toContain(String.raw`+ value = "{\"id\":\"o-1\",\"total\":10,\"big\":false}"`);
    expect(out).toContain('expected NONE: …');
    expect(out).toContain('2 of 5 cases failed');
  });

  it('finds records that notice what shares their batch', async () => {
    await run(['module', 'new', 'leaky']);
    const source = join(folder, 'modules/leaky/assembly/index.ts');
    writeFileSync(
      source,
      `import { Output, Record } from 'millstream/assembly';
let seen = 0;
export function transform(r: Record, out: Output): void {
  if (r.offset == 0) seen = 0;
  r.setValueText((++seen).toString());
  out.emit(r);
}
`,
    );
    const one = (name: string): string => `[[case]]\nname = "${name}"\ninput = "a"\nexpect = ["1"]\n`;
    writeFileSync(join(folder, 'modules/leaky/cases.toml'), one('first') + one('second'));
    const { code, out } = await run(['module', 'test', 'leaky']);
    expect(code).toBe(1);
    expect(out).toContain('  ok      first');
    expect(out).toContain('in a batch of 2: - value = "1"');
  });

  it('shows what the compiler says, and names near modules', async () => {
    writeFileSync(join(folder, 'modules/leaky/assembly/index.ts'), 'export function transform(r: Nothing): void {}\n');
    expect(await run(['module', 'build', 'leaky'])).toMatchObject({
      code: 1,
      err: expect.stringContaining("Cannot find name 'Nothing'"),
    });
    expect(await run(['module', 'test', 'order'])).toMatchObject({ code: 1, err: expect.stringContaining('`orders`') });
    expect(await run(['module', 'new', 'orders'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('there already'),
    });
    expect(await run(['module', 'new', 'Orders'])).toMatchObject({ code: 1, err: expect.stringContaining('no name') });
    expect(await run(['module', 'new', 'x', '--lang', 'go'])).toMatchObject({ code: 2 });
  });

  it('says which line of cases.toml is wrong', async () => {
    const cases = join(folder, 'modules/orders/cases.toml');
    const before = readFileSync(cases, 'utf8');
    writeFileSync(cases, before.replace('input  = \'{"id":"o-1","total":10}\'', 'imput = "x"'));
    const { code, err } = await run(['module', 'test', 'orders']);
    writeFileSync(cases, before);
    expect(code).toBe(1);
    expect(err).toContain('modules/orders/cases.toml:5:1: error: unknown key `imput`');
  });
});
