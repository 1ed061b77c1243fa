import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Project, runCommand, startProject } from '../support.ts';

describe('the command line', () => {
  let project: Project;
  let brokers: string[];
  beforeAll(async () => {
    project = await startProject();
    brokers = ['--brokers', `127.0.0.1:${project.server.kafka.port}`];
  });
  afterAll(() => project.close());

  it('produces lines and consumes them, with keys, headers and partitions', async () => {
    const args = ['produce', 'letters', ...brokers, '--key-separator', ':', '-H', 'from=test', '-p', '1'];
    expect(await project.run(args, 'k1:alpha\nk2:beta\n')).toMatchObject({
      code: 0,
      err: '2 records sent to letters, acknowledged\n',
    });
    const values = await project.run(['consume', 'letters', ...brokers, '--from', 'earliest', '-e']);
    expect(values).toEqual({ code: 0, out: 'alpha\nbeta\n', err: '' });
    const { out } = await project.run(['consume', 'letters', ...brokers, '--from', '1', '-p', '1', '-e', '--json']);
    expect(JSON.parse(out)).toMatchObject({
      partition: 1,
      offset: 1,
      key: 'k2',
      value: 'beta',
      headers: { from: 'test' },
    });
    const limited = await project.run(['consume', 'letters', ...brokers, '--from', 'earliest', '-n', '1']);
    expect(limited.out).toBe('alpha\n');
  });

  it('reads as a group and goes on where the group was', async () => {
    await project.run(['produce', 'grouped', ...brokers], 'one\ntwo\n');
    const args = ['consume', 'grouped', ...brokers, '--group', 'readers', '--from', 'earliest', '-e'];
    expect((await project.run(args)).out.split('\n').toSorted()).toEqual(['', 'one', 'two']);
    expect((await project.run(args)).out).toBe('');
    expect((await project.run(['group', 'list', ...brokers])).out).toMatch(/^readers\s+Empty/m);
    const { out } = await project.run(['group', 'describe', 'readers', ...brokers, '--json']);
    const { positions } = JSON.parse(out) as { positions: { committed: number; lag: number }[] };
    expect(positions.reduce((sum, position) => sum + position.committed, 0)).toBe(2);
    expect(positions.every(position => position.lag === 0)).toBe(true);
  });

  it('creates, lists, describes and deletes topics', async () => {
    const created = await project.run([
      'topic',
      'create',
      'made',
      '-p',
      '3',
      '--set',
      'retention.ms=60000',
      ...brokers,
    ]);
    expect(created).toEqual({ code: 0, out: 'created made, 3 partitions\n', err: '' });
    expect((await project.run(['topic', 'list', ...brokers])).out).toMatch(/^made\s+3$/m);
    expect((await project.run(['topic', 'describe', 'made', ...brokers])).out).toContain('retention.ms=60000');
    expect((await project.run(['topic', 'delete', 'made', ...brokers])).code).toBe(0);
    expect((await project.run(['topic', 'list', ...brokers])).out).not.toContain('made');
  });

  it('ends with 4 when the server refuses and 3 when there is none', async () => {
    expect(await project.run(['topic', 'describe', 'nothing', ...brokers])).toMatchObject({ code: 4 });
    expect(await project.run(['topic', 'create', 'bad name', ...brokers])).toMatchObject({ code: 4 });
    expect(await project.run(['topic', 'list', '--brokers', '127.0.0.1:1'])).toMatchObject({ code: 3 });
    expect(await project.run(['pipeline', 'list', '--server', '127.0.0.1:1'])).toMatchObject({ code: 3 });
  });

  it('ends with 2 and says how to when it is called wrongly', async () => {
    expect(await project.run(['topc', 'list'])).toEqual({
      code: 2,
      out: '',
      err: 'millstream: unknown command `topc list`, did you mean `topic list`?\n  `millstream help` lists the commands.\n',
    });
    expect((await project.run(['topic'])).err).toContain('takes one of: create, list, describe, delete');
    expect((await project.run(['consume'])).err).toContain('usage: millstream consume TOPIC');
    expect((await project.run(['consume', 't', '--form', 'latest'])).err).toContain("Unknown option '--form'");
    expect((await project.run(['consume', 't', '--limit', 'many'])).err).toContain('--limit takes a whole number');
    expect((await project.run(['consume', 't', '--from', 'start', ...brokers])).err).toContain(
      '--from takes earliest, latest or an offset',
    );
    expect((await project.run([])).code).toBe(2);
  });

  it('shows help for everything', async () => {
    const { out, code } = await project.run(['help']);
    expect(code).toBe(0);
    for (const line of out.split('\n').filter(each => each.startsWith('  '))) {
      const help = await project.run([...line.trim().split(/ {2,}/)[0]!.split(' '), '--help']);
      expect(help.code).toBe(0);
      expect(help.out).toContain('usage: millstream');
    }
  });

  it('lists modules, the own ones always among them', async () => {
    const { out } = await project.run(['module', 'list', '--json']);
    const modules = JSON.parse(out) as { name: string; sha256: string }[];
    expect(modules.find(module => module.name === 'pii_scrubber')?.sha256).toMatch(/^[0-9a-f]{64}$/);
  });
});

describe('checks of files', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'millstream-cli-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('config check names line, column and the nearest key', async () => {
    writeFileSync(join(folder, 'bad.toml'), '[broker]\ndata_dirr = "x"\n');
    const { code, out } = await runCommand(['config', 'check', '--config', 'bad.toml'], { cwd: folder });
    expect(code).toBe(1);
    expect(out).toContain('bad.toml:2:1: error: unknown key `data_dirr`');
    expect(out).toContain('did you mean `data_dir`?');
    expect((await runCommand(['config', 'check'], { cwd: folder })).code).toBe(0);
  });

  it('start refuses a bad configuration and a bad pipeline with one clear text', async () => {
    const bad = await runCommand(['start', '--config', 'bad.toml'], { cwd: folder });
    expect(bad.code).toBe(1);
    expect(bad.err).toContain('the configuration has errors');
  });

  it('pipeline test runs the cases, and says which failed and why', async () => {
    writeFileSync(
      join(folder, 'p.toml'),
      `name = "p"
[source]
topic = "in"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["email"] }
[sinks.out.file]
path = "out.ndjson"
[[test]]
name = "right"
input = { json = '{"email":"a@b.c"}' }
expect = [{ sinks = ["out"], matches = { email = '^\\*\\*\\*$' } }]
[[test]]
name = "wrong"
input = { json = '{"email":"a@b.c"}' }
expect = [{ json = { email = "a@b.c" } }]
`,
    );
    const { code, out } = await runCommand(['pipeline', 'test', 'p.toml'], { cwd: folder });
    expect(code).toBe(1);
    expect(out).toContain('ok      right');
    expect(out).toContain('FAILED  wrong');
    const lint = await runCommand(['pipeline', 'lint', 'p.toml'], { cwd: folder });
    expect(lint).toMatchObject({ code: 0, err: '' });
  });
});
