import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { secretsIn } from '../../../etl/definition/secrets.ts';
import { maskOf } from '../../../etl/sandbox/mask.ts';
import { type Project, startProject, until } from '../support.ts';

/* A secret reaches the module that it is for, and nothing else. */

const SECRET = 'open "sesame" 4711';

const SOURCE = `import { Json, Output, Record, log } from 'millstream/assembly';
let secret = '';
export function configure(config: Json): string | null {
  secret = config.get('key_of_the_mill').text();
  log('the secret is ' + secret);
  return config.get('refuse').bool() ? 'I do not like ' + secret : null;
}
export function transform(r: Record, out: Output): void {
  const what = r.value.toString();
  if (what == 'log') log('still ' + secret + '!');
  if (what == 'fail') return r.fail('LEAKED', 'it was ' + secret);
  if (what == 'throw') throw new Error('thrown: ' + secret);
  if (what == 'right') r.setValueText(secret.length.toString());
  out.emit(r);
}
`;
const MANIFEST = `name = "leaky"
version = "1.0.0"
[config_schema]
type = "object"
additionalProperties = false
properties.refuse = { type = "boolean" }
[config_schema.properties.key_of_the_mill]
type = "string"
secret = true
`;
const PIPELINE = `name = "mill"
[source]
topic = "in"
[[step]]
name = "leak"
module = "leaky"
config = { key_of_the_mill = '${SECRET}' }
`;

let project: Project;
beforeAll(async () => {
  project = await startProject();
  const folder = join(project.folder, 'modules/leaky');
  mkdirSync(join(folder, 'assembly'), { recursive: true });
  writeFileSync(join(folder, 'assembly/index.ts'), SOURCE);
  writeFileSync(join(folder, 'module.toml'), MANIFEST);
  expect((await project.run(['module', 'build', 'leaky'])).code).toBe(0);
  project.write('pipelines/mill.toml', PIPELINE);
  await project.restart();
});
afterAll(() => project.close());

const brokers = (): string => `127.0.0.1:${project.server.kafka.port}`;
const get = async (path: string): Promise<string> => (await fetch(`${project.url}${path}`)).text();

describe('a secret in the config of a module', () => {
  it('reaches the module, but neither its log, dead letters, status nor page', async () => {
    await project.run(['produce', 'in', '--brokers', brokers()], 'log\nfail\nthrow\nright\n');
    const consumed = () => project.run(['consume', 'mill.out', '--from', 'earliest', '-e', '--brokers', brokers()]);
    expect((await until(consumed, ({ out }) => out.includes('right') || /^\d+$/m.test(out))).out).toContain(
      `${SECRET.length}\n`,
    );
    const letters = () => project.run(['dead-letter', 'list', 'mill', '--json', '--brokers', brokers()]);
    const listed = await until(letters, ({ out }) => out.trim().split('\n').length === 2);
    const logs = await project.run(['module', 'logs', 'mill.leak', '--server', project.url]);
    expect(logs.out).toContain('still ***!');
    expect(logs.out).toContain('the secret is ***');
    expect(listed.out).toContain('"reason":"it was ***"');
    expect(listed.out).toContain('"reason":"thrown: *** (assembly/index.ts:');
    const dead = await project.run([
      'consume',
      'mill.dead',
      '--from',
      'earliest',
      '-e',
      '--json',
      '--brokers',
      brokers(),
    ]);
    const everything = [listed.out, logs.out, dead.out, await get('/api/v1/pipelines'), await get('/')].join('\n');
    for (const part of [SECRET, 'sesame', '4711']) expect(everything).not.toContain(part);
  });

  it('is in no error of a start that fails, and in no line that lint shows', async () => {
    const file = PIPELINE.replace('sesame" 4711\'', 'sesame" 4711\', refuse = true');
    project.write('pipelines/mill.toml', file);
    await project.restart();
    const status = await until(
      () => get('/api/v1/pipelines'),
      text => text.includes('I do not like'),
    );
    expect(status).toContain('I do not like ***');
    expect(status).not.toContain('sesame');
    for (const literal of [`'${SECRET}'`, JSON.stringify(SECRET)]) {
      project.write('pipelines/mill.toml', file.replace(`'${SECRET}'`, `${literal}, keep = 5`));
      const { out } = await project.run(['pipeline', 'lint']);
      expect(out).toContain('unknown key `keep`');
      expect(out).toMatch(/config = \{ key_of_the_mill = .\*+., keep = 5/);
      expect(out).not.toContain('sesame');
    }
    project.write('pipelines/mill.toml', PIPELINE);
  });

  it('keeps so many lines of each step', async () => {
    await project.restart();
    await project.run(['produce', 'in', '--brokers', brokers()], 'log\n'.repeat(500));
    const lines = async () => (JSON.parse(await get('/api/v1/pipelines/mill/logs')) as { lines: unknown[] }).lines;
    // 100 lines a second are taken.
    expect((await until(lines, ({ length }) => length >= 50)).length).toBeLessThanOrEqual(200);
    const { code, err } = await project.run(['module', 'logs', 'mill.nothing', '--server', project.url]);
    expect([code, err]).toEqual([4, expect.stringContaining('there are: leak')]);
  });
});

describe('which values are secrets', () => {
  const schema = {
    properties: {
      key: { type: 'string', secret: true },
      list: { type: 'array', items: { type: 'object', properties: { pin: { type: 'string', writeOnly: true } } } },
      plain: { type: 'string' },
    },
  };

  it('takes those that the schema marks, those whose key says so, and without a schema what came from outside', () => {
    const config = {
      key: 'aaaa',
      list: [{ pin: 'bbbb', note: 'cccc' }],
      plain: 'dddd',
      api_key: 'eeee',
      auth: { token: 'ffff' },
    };
    expect(secretsIn(config, schema, () => true).toSorted()).toEqual(['aaaa', 'bbbb', 'eeee', 'ffff']);
    expect(secretsIn({ a: 'from outside', b: 'from the file' }, null, ([key]) => key === 'a')).toEqual([
      'from outside',
    ]);
    expect(secretsIn({ key: 'abc' }, schema, () => false)).toEqual([]);
  });

  it('hides them whole, within JSON, and where a text was cut', () => {
    const mask = maskOf(['sesame "open"', 'sesame']);
    expect(mask('a sesame "open" b')).toBe('a *** b');
    expect(mask(JSON.stringify({ key: 'sesame "open"' }))).toBe('{"key":"***"}');
    expect(mask('ends with sesam')).toBe('ends with ***');
    expect(mask('nothing')).toBe('nothing');
  });
});
