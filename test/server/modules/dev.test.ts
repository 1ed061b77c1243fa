import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caseText } from '../../../server/modules/save-case.ts';
import { type Project, runCommand, startProject, until } from '../support.ts';

/* `millstream module dev` and `bench`. */

let project: Project;
beforeAll(async () => {
  project = await startProject();
  expect((await project.run(['module', 'new', 'orders'])).code).toBe(0);
});
afterAll(() => project.close());

const brokers = (): string[] => ['--brokers', `127.0.0.1:${project.server.kafka.port}`];

describe('module dev', () => {
  it('shows what becomes of the last records, saves one as a case, and shows what a change changes', async () => {
    await project.run(['topic', 'create', 'orders', '--partitions', '1', ...brokers()]);
    const values = ['{"id":"o-0"}', `{"id":"o-1","note":"it's","total":7}`, '{"id":"o-2","total":2000}', 'oops'];
    await project.run(['produce', 'orders', ...brokers()], `${values.join('\n')}\n`);
    const stop = new AbortController();
    let out = '';
    const running = runCommand(['module', 'dev', 'orders', '--topic', 'orders', '-n', '3', ...brokers()], {
      cwd: project.folder,
      input: '1',
      signal: stop.signal,
      onOut: bytes => {
        out += bytes.toString();
      },
    });
    await until(
      () => out,
      text => text.includes('saved as case'),
    );
    expect(out).toMatch(/^modules\/orders ready in [\d.]+ s, \d+ ns a record, 3 of 3 changed\n/);
    expect(out).toContain('1  orders/0@1\n   big  (none) -> false\n');
    expect(out).toContain('2  orders/0@2\n   big  (none) -> true\n   header size  (none) -> "big"\n');
    expect(out).toContain('"code":"INVALID_JSON"');
    expect(out).toContain('saved as case "orders/0@1" in modules/orders/cases.toml');

    out = '';
    const source = join(project.folder, 'modules/orders/assembly/index.ts');
    writeFileSync(source, readFileSync(source, 'utf8').replace("'big')", "'huge')"));
    await until(
      () => out,
      text => text.includes('huge'),
    );
    expect(out).toMatch(/ns a record, 1 of 3 changed\n2 {2}orders\/0@2\n/);

    out = '';
    writeFileSync(source, readFileSync(source, 'utf8').replace("'huge')", "'big'"));
    // What does not compile is said, and the next save is taken.
    await new Promise(resolve => setTimeout(resolve, 1500));
    writeFileSync(source, readFileSync(source, 'utf8').replace("'big';", "'big');"));
    await until(
      () => out,
      text => text.includes('header size'),
    );
    stop.abort();
    const { code, err } = await running;
    expect(code).toBe(0);
    expect(err).toContain('the module does not compile');
    const tested = await project.run(['module', 'test', 'orders']);
    expect(tested.out).toContain('  ok      orders/0@1\n');
    expect(tested.out).toContain('6 cases passed');
  });

  it('needs a topic', async () => {
    expect(await project.run(['module', 'dev', 'orders'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--topic'),
    });
  });
});

describe('a saved case', () => {
  it('is TOML, whatever the record holds', () => {
    const config = { a: { 'b c': [1, "it's", true, null] } };
    const record = {
      key: Buffer.from('k\u0007'),
      value: Buffer.from([0xff, 1]),
      headers: [['h\n', null] as const],
      timestamp: 5,
    };
    const emitted = { key: null, value: null, headers: [['x', Buffer.from('"')] as const], timestamp: 5, offset: 0 };
    const text = caseText('a "name"', config, record, { emitted: [{ output: 'side', record: emitted }], failed: null });
    expect(parse(text)['case']).toEqual([
      {
        name: 'a "name"',
        config: { a: { 'b c': [1, "it's", true] } },
        input_base64: '/wE=',
        key: 'k\u0007',
        headers: { 'h\n': '' },
        timestamp: 5,
        outputs: ['default', 'side'],
        expect: [{ output: 'side', tombstone: true, headers: { x: '"' } }],
      },
    ]);
    const failed = caseText(
      'f',
      {},
      { ...record, value: null, headers: [] },
      { emitted: [], failed: { code: 'NO', reason: 'x' } },
    );
    expect(parse(failed)['case']).toMatchObject([{ tombstone: true, fail: { code: 'NO' } }]);
  });
});

describe('module bench', () => {
  it('says how long a record takes', async () => {
    const { code, out } = await project.run(['module', 'bench', 'orders', '--seconds', '1', '--json']);
    expect(code).toBe(0);
    const result = JSON.parse(out) as { records: number; ns_per_record: { p50: number }; records_per_second: number };
    expect(result.records).toBeGreaterThanOrEqual(500);
    expect(result.ns_per_record.p50).toBeGreaterThan(10);
    expect(result.records_per_second).toBe(Math.round(1e9 / result.ns_per_record.p50));
  });
});
