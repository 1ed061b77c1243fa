import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../core/base/clock.ts';
import { silentLogger } from '../../../core/base/logger.ts';
import { Metrics } from '../../../core/base/metrics.ts';
import { parseToml } from '../../../core/config/toml.ts';
import type { PipelinePlan } from '../../../etl/definition/plan.ts';
import { readPipeline } from '../../../etl/definition/read-pipeline.ts';
import { renderTests, runTests, type TestResult } from '../../../etl/definition/run-tests.ts';
import { ModuleStore } from '../../../etl/sandbox/module-store.ts';
import { openSandbox } from '../../../etl/sandbox/pool.ts';
import type { Sandbox } from '../../../etl/sandbox/sandbox.ts';
import { options } from './fixtures.ts';

let sandbox: Sandbox;
let modules: ModuleStore;

beforeAll(() => {
  sandbox = openSandbox({ clock: systemClock, logger: silentLogger, metrics: new Metrics(), workers: 1 });
  modules = ModuleStore.load({
    directories: [fileURLToPath(new URL('../../../modules', import.meta.url))],
    parseToml: text => parseToml(text, 'module.toml').document?.value,
  });
});
afterAll(() => sandbox.close());

async function run(text: string, only?: string): Promise<TestResult[]> {
  const read = (env: Readonly<Record<string, string>>) =>
    readPipeline(text, 'orders.toml', {
      ...options,
      mode: 'lint',
      env,
      modules: {
        find: (name, version, sha256) => modules.get(name, version, sha256),
        names: () => modules.list().map(module => module.name),
      },
    });
  const { plan, diagnostics } = read({});
  expect(diagnostics.filter(each => each.severity === 'error')).toEqual([]);
  const chainSteps = ({ steps }: PipelinePlan) =>
    steps.map(step => {
      const module = modules.get(step.module.name, step.module.version, step.module.sha256);
      if (!module) throw new Error(`no module ${step.module.name}`);
      return { ...step, module, initTimeMs: 10_000 };
    });
  return runTests(plan as PipelinePlan, { sandbox, read, chainSteps, ...(only === undefined ? {} : { only }) });
}

const failures = (results: TestResult[]): string[] =>
  results.flatMap(result => result.failures.flatMap(each => [`${result.name}: ${each.message}`, ...each.diff]));

const SCRUB = `
name = "orders"
[source]
topic = "orders"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["customer.email"], method = "sha256", salt = "\${PII_SALT}" }
[sinks.warehouse.file]
path = "\${WAREHOUSE}"
[sinks.rich]
when = { json = "/total", gte = 100 }
[sinks.rich.file]
path = "rich.ndjson"
`;

test('cases that are right pass, through the real module, with no variable of a sink set', async () => {
  const results = await run(`${SCRUB}
[[test]]
name = "an e-mail address does not get through"
env = { PII_SALT = "pepper" }
input = { key = "k", json = '{"id":"o-1","total":5,"customer":{"email":"ada@example.com"}}', headers = { "a.b" = "c" } }
expect = [
  { sinks = ["warehouse"], matches = { "customer.email" = "^[0-9a-f]{64}$" }, absent = ["customer.phone"], count = 1 },
  { json = { id = "o-1", total = 5 }, headers = { "a.b" = "c" }, outputs = ["default"] },
]
[[test]]
name = "a rich one goes to both"
env = { PII_SALT = "pepper" }
input = { json = { total = 100 } }
expect = [{ sinks = ["rich", "warehouse"] }]
[[test]]
name = "what is not JSON becomes a dead letter"
env = { PII_SALT = "pepper" }
input = { text = "not json" }
expect = [{ dead_letter = { step = "scrub", code = "INVALID_JSON" } }, { sinks = [] }, { count = 0 }]
`);
  expect(failures(results)).toEqual([]);
  expect(results).toHaveLength(3);
  expect(renderTests('orders.toml', results)).toBe(
    [
      '  ok      an e-mail address does not get through',
      '  ok      a rich one goes to both',
      '  ok      what is not JSON becomes a dead letter',
      'orders.toml: 3 tests passed',
    ].join('\n'),
  );
});

test('cases that are wrong say what was expected and what was found', async () => {
  const results = await run(`${SCRUB}
[[test]]
name = "sinks"
env = { PII_SALT = "pepper" }
input = { json = { total = 100 } }
expect = [{ sinks = ["warehouse"] }]
[[test]]
name = "contents"
env = { PII_SALT = "pepper" }
input = { json = { id = "o-1", total = 5, tags = ["a"] } }
expect = [{ json = { id = "o-2", total = 5, customer = { email = "x" } }, absent = ["tags"], matches = { id = "^x" }, headers = { t = "1" } }]
[[test]]
name = "letter"
env = { PII_SALT = "pepper" }
input = { text = "nope" }
expect = [{ dead_letter = { code = "OTHER" } }]
[[test]]
name = "no letter"
env = { PII_SALT = "pepper" }
input = { json = {} }
expect = [{ dead_letter = { step = "scrub" } }]
[[test]]
name = "count"
env = { PII_SALT = "pepper" }
input = { json = {} }
expect = [{ count = 2 }]
[[test]]
name = "env"
input = { json = {} }
expect = [{ count = 1 }]
`);
  const line = SCRUB.split('\n').findIndex(each => each.startsWith('config')) + 1;
  expect(failures(results)).toEqual([
    'sinks: it reaches other sinks',
    '- sinks = ["warehouse"]',
    '+ sinks = ["rich","warehouse"]',
    'contents: expected a record, but none of 1 record (output default) is as expected',
    '- header t = "1"',
    '+ header t = (absent)',
    '- id = "o-2"',
    '+ id = "o-1"',
    '- customer = {"email":"x"}',
    '+ customer = (absent)',
    '- tags absent',
    '+ tags = ["a"]',
    '- id matches "^x"',
    '+ id = "o-1"',
    expect.stringMatching(/^letter: step `scrub` made it a dead letter: INVALID_JSON, ./),
    '- {"code":"OTHER"}',
    '+ {"step":"scrub","code":"INVALID_JSON"}',
    'no letter: expected a dead letter {"step":"scrub"}, but the record went on: 1 record (output default)',
    'count: expected 2 records, but 1 of 1 record (output default) is as expected',
    `env: line ${line}: the environment variable \`PII_SALT\` is not set`,
    "env: a case's variables stand in its own `env`",
  ]);
  const first = SCRUB.split('\n').length + 1;
  expect(renderTests('orders.toml', results.slice(0, 1))).toBe(
    [
      `  FAILED  sinks  (orders.toml:${first})`,
      '            it reaches other sinks',
      '              - sinks = ["warehouse"]',
      '              + sinks = ["rich","warehouse"]',
      'orders.toml: 1 of 1 test failed',
    ].join('\n'),
  );
});

test("a config that a case's env makes wrong fails that case alone", async () => {
  const results = await run(`
name = "x"
source = { topic = "x" }
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["\${FIELD}"] }
[[test]]
name = "bad"
env = { FIELD = "" }
input = { json = { a = "secret" } }
expect = [{ count = 1 }]
[[test]]
name = "good"
env = { FIELD = "a" }
input = { json = { a = "secret" } }
expect = [{ json = { a = "***" } }]
`);
  expect(failures(results)).toEqual(['bad: line 7: `step[0].config.fields[0]`: must not be empty']);
});

test('without steps the record goes to the sinks as it is', async () => {
  const results = await run(`
name = "x"
source = { topic = "x" }
[sinks.a]
when = { header = "tier", equals = "gold" }
[sinks.a.file]
path = "a"
[[test]]
name = "gold"
input = { base64 = "AAEC", headers = { tier = "gold" } }
expect = [{ sinks = ["a"] }]
[[test]]
name = "a tombstone without headers"
input = { tombstone = true }
expect = [{ sinks = [] }, { count = 1 }]
`);
  expect(failures(results)).toEqual([]);
  expect(results).toHaveLength(2);
});

test('cases can be chosen by name', async () => {
  const text = `${SCRUB}[[test]]\nname = "one"\ninput = { text = "" }\nexpect = [{ count = 1 }]\n`;
  expect(await run(text, 'two')).toEqual([]);
  expect(await run(text, 'on')).toHaveLength(1);
});

test('the example of the design is read and its case passes', async () => {
  const text = readFileSync(new URL('./orders.toml', import.meta.url), 'utf8');
  const results = await run(text);
  expect(failures(results)).toEqual([]);
  expect(results).toHaveLength(1);
});
