import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Project, startProject } from '../support.ts';

describe('millstream verify', () => {
  let project: Project;
  beforeAll(async () => {
    project = await startProject();
    const brokers = ['--brokers', `127.0.0.1:${project.server.kafka.port}`];
    await project.run(['produce', 'letters', ...brokers, '-p', '1'], 'alpha\nbeta\n');
    await project.run(['consume', 'letters', ...brokers, '--group', 'readers', '--from', 'earliest', '-e']);
  });
  afterAll(() => project.close());

  it('refuses a directory that a process has open, in one sentence', async () => {
    const { code, out, err } = await project.run(['verify', 'data']);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^millstream: the directory .*data is in use by process \d+\n/);
  });

  it('finds nothing in a directory that was stopped, then the byte that was changed in it', async () => {
    await project.server.stop();
    expect(await project.run(['verify', 'data'])).toMatchObject({ code: 0, out: expect.stringMatching(/: ok\n$/) });

    const path = join(project.folder, 'data/log/letters-1/00000000000000000000.log');
    const bytes = readFileSync(path);
    const sound = Buffer.from(bytes);
    bytes.writeUInt8(bytes.readUInt8(70) ^ 1, 70);
    writeFileSync(path, bytes);
    const damaged = await project.run(['verify', 'data']);
    expect(damaged.code).toBe(1);
    expect(damaged.out).toMatch(/^letters-1\/0{20}\.log:0: a batch whose CRC is .*\n/);
    writeFileSync(path, sound);

    // The committed positions are held beside the logs, the catalogue beside the folders.
    writeFileSync(path, '');
    const lost = await project.run(['verify', 'data', '--json']);
    expect(lost.code).toBe(1);
    expect(lost.out).toContain('group readers is at 2 of letters-1, which ends at 0');
    writeFileSync(path, sound);
    const catalogue = join(project.folder, 'data/meta/catalogue.json');
    writeFileSync(catalogue, readFileSync(catalogue, 'utf8').replaceAll('"letters"', '"other"'));
    const renamed = await project.run(['verify', 'data']);
    expect(renamed.out).toContain('catalogue.json: names other-0, which has no log');
    expect(renamed.out).toContain('note: letters-1: of no topic in the catalogue');
    expect(readdirSync(join(project.folder, 'data'))).not.toContain('.lock');
  });

  it('says so when there is nothing to read', async () => {
    expect(await project.run(['verify', 'nowhere'])).toMatchObject({
      code: 2,
      err: expect.stringContaining('nowhere is no data directory'),
    });
  });
});
