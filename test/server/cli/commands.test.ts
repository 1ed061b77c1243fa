import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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

  it('says what to do when there is nothing yet', async () => {
    const { server } = project;
    const listings = [
      [['topic', 'list', ...brokers], 'no topics yet; `millstream produce TOPIC` makes one\n'],
      [['group', 'list', ...brokers], 'no groups yet; `millstream consume TOPIC --group GROUP` makes one\n'],
      [['pipeline', 'list', '--server', `127.0.0.1:${server.http.port}`], /^no pipelines: /],
    ] as const;
    for (const [args, hint] of listings) {
      expect(await project.run([...args])).toEqual({ code: 0, out: '', err: expect.stringMatching(hint) as string });
      expect(JSON.parse((await project.run([...args, '--json'])).out)).toEqual([]);
    }
  });

  it('carries any bytes, and lines of any length that the broker takes', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i).filter(byte => byte !== 10));
    const lines = [bytes, Buffer.from('a\r'), Buffer.from('line\u2028separator'), Buffer.alloc(900_000, 'x')];
    const input = Buffer.concat(lines.flatMap(line => [line, Buffer.from('\n')]));
    expect(await project.run(['produce', 'any.bytes_in-it', ...brokers, '-p', '0'], input)).toMatchObject({ code: 0 });
    const written: Buffer[] = [];
    await runCommand(['consume', 'any.bytes_in-it', ...brokers, '--from', 'earliest', '-e'], {
      cwd: project.folder,
      onOut: each => written.push(each),
    });
    expect(Buffer.concat(written).equals(input)).toBe(true);
    const { out } = await project.run([
      'consume',
      'any.bytes_in-it',
      ...brokers,
      '--from',
      'earliest',
      '-n',
      '1',
      '--json',
    ]);
    expect(JSON.parse(out)).toMatchObject({ value: null, value_base64: bytes.toString('base64') });
    const tooLong = await project.run(['produce', 'any.bytes_in-it', ...brokers], Buffer.alloc(3_000_000, 'x'));
    expect(tooLong).toMatchObject({ code: 4, err: expect.stringContaining('max.message.bytes') as string });
  });

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
    expect((await project.run(['constructor'])).err).toContain('unknown command `constructor`');
    expect((await project.run(['consume', 't', '--limit', '0x10'])).err).toContain('--limit takes a whole number');
    expect((await project.run(['topic', 'list', '--brokers', ''])).err).toContain('--brokers takes host:port');
    expect((await project.run(['pipeline', 'list', '--server', ':::'])).err).toContain('--server takes an address');
    for (const target of ['.step', 'pipeline.', '']) {
      expect(await project.run(['tap', target])).toMatchObject({
        code: 2,
        err: 'millstream: tap takes PIPELINE or PIPELINE.STEP\n',
      });
    }
  });

  it('shows help for everything', async () => {
    const { out, code } = await project.run(['help']);
    expect(code).toBe(0);
    for (const line of out.split('\n').filter(each => each.startsWith('  '))) {
      const help = await project.run([...line.trim().split(/ {2,}/)[0]!.split(' '), '--help']);
      expect(help.code).toBe(0);
      expect(help.out).toContain('usage: millstream');
    }
    expect((await project.run(['topic', '--help'])).out).toMatch(/topic create .*\n.*topic list /);
    expect((await project.run(['help', 'topic', 'create'])).out).toContain('usage: millstream topic create NAME');
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
    expect(await runCommand(['config', 'check'], { cwd: folder })).toMatchObject({
      code: 0,
      out: expect.stringContaining('no millstream.toml here: ok\n') as string,
    });
  });

  it('config check shows what is in force and where it comes from, without secrets', async () => {
    writeFileSync(join(folder, 'good.toml'), '[broker]\ndata_dir = "d"\n[object_storage]\nsecret_key = "hush"\n');
    const env = { MILLSTREAM_BROKER_LOG_LEVEL: 'error' };
    const check = (...more: string[]) =>
      runCommand(['config', 'check', '--config', 'good.toml', ...more], { cwd: folder, env });
    const { code, out } = await check();
    expect(code).toBe(0);
    expect(out).toMatch(/^broker\.data_dir = "d" +# good\.toml:2$/m);
    expect(out).toMatch(/^broker\.log_level = "error" +# MILLSTREAM_BROKER_LOG_LEVEL$/m);
    expect(out).not.toContain('hush');
    expect(out).not.toContain('broker.default_partitions');
    expect((await check('--all')).out).toMatch(/^broker\.default_partitions = 4 +# default$/m);
    const json = JSON.parse((await check('--json')).out) as { values: { key: string; value: string }[] };
    expect(json.values.find(each => each.key === 'broker.log_level')?.value).toBe('"error"');
    expect(JSON.stringify(json)).not.toContain('hush');
    // `--config` may stand before the command too.
    expect(await runCommand(['--config', 'good.toml', 'config', 'check'], { cwd: folder, env })).toMatchObject({ out });
  });

  it('says in a sentence why a file cannot be read', async () => {
    const said = async (...args: string[]) => {
      const { code, out, err } = await runCommand(args, { cwd: folder });
      return [code, out + err];
    };
    const none = 'nowhere.toml: error: cannot be read: there is no such file\n';
    expect(await said('config', 'check', '--config', 'nowhere.toml')).toEqual([1, none]);
    expect(await said('start', '--config', 'nowhere.toml')).toEqual([
      1,
      `millstream: the configuration has errors\n${none}`,
    ]);
    expect(await said('pipeline', 'lint', 'nowhere.toml')).toEqual([1, none]);
    expect(await said('pipeline', 'test', 'nowhere.toml')).toEqual([1, none]);
    expect(await said('config', 'check', '--config', '.')).toEqual([1, expect.stringContaining('it is a folder')]);
    expect(await said('pipeline', 'lint')).toEqual([
      1,
      'millstream: there is no pipeline file (*.toml) in the folder pipelines\n',
    ]);
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
limits = { fuel = 10_000 }
[sinks.out.file]
path = "out.ndjson"
[[test]]
name = "too much work"
input = { text = '{"email":"a@b.c","more":[${'1,'.repeat(3000)}1]}' }
expect = [{ dead_letter = { step = "scrub", code = "FUEL" } }]
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
    expect(out).toContain('ok      too much work');
    expect(out).toContain('FAILED  wrong');
    expect(out).toContain('p.toml: 1 of 3 tests failed');
    const lint = await runCommand(['pipeline', 'lint', 'p.toml'], { cwd: folder });
    expect(lint).toEqual({ code: 0, out: 'p.toml: ok\n', err: '' });
  });

  it('pipeline lint takes folders, and shows paths as a person would write them', async () => {
    mkdirSync(join(folder, 'some'));
    const file = join(folder, 'some/wrong.toml');
    writeFileSync(file, 'name = "w"\n[source]\ntopic = "t"\n[[step]]\nname = "s"\nmodule = "nothing_like_it"\n');
    const { code, out } = await runCommand(['pipeline', 'lint', 'some'], { cwd: folder });
    expect(code).toBe(1);
    expect(out).toMatch(/^some\/wrong\.toml:6:10: error: there is no module `nothing_like_it`$/m);
    const elsewhere = await runCommand(['pipeline', 'lint', folder], { cwd: join(folder, 'some') });
    expect(elsewhere.out).toContain(`${join(folder, 'p.toml')}: ok\n`);
  });
});
