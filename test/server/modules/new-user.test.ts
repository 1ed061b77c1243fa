import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../../servers/process.ts';
import { type Project, startProject, until } from '../support.ts';

/*
 * What somebody does who has read the README: in an empty folder, from nothing to a module that is tested, deployed and at
 * work. It may take 60 s of machine time; making, building and testing it need no network.
 */

const MOST_SECONDS = 60;
const bin = fileURLToPath(new URL('../../../bin/millstream.js', import.meta.url));
/** A namespace without any network, where the system lets us have one. */
const offline = spawnSync('unshare', ['-rn', 'true']).status === 0 ? 'unshare -rn ' : '';

let project: Project;
beforeAll(async () => {
  project = await startProject();
});
afterAll(() => project.close());

/** Seconds of CPU time that all children of the shell took, from the second line of `times`. */
function cpuSeconds(times: string): number {
  const [, children = ''] = times.trim().split('\n').slice(-2);
  return [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, [, m, s]) => sum + Number(m) * 60 + Number(s), 0);
}

describe.each(['assemblyscript', 'javascript'])('a first module in %s', language => {
  it(`is made, built, tested and deployed in ${MOST_SECONDS} s`, { timeout: 240_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'millstream-new-user-'));
    const millstream = `'${process.execPath}' '${bin}'`;
    const name = `first_${language}`;
    const script = [
      'set -e',
      `${offline}${millstream} module new ${name} --lang ${language}`,
      `${offline}${millstream} module build ${name}`,
      `${offline}${millstream} module test ${name}`,
      `${millstream} module deploy ${name} --server ${project.url}`,
      'times',
    ].join('\n');
    const { code, stdout, stderr } = await run('bash', ['-c', script], { cwd: folder });
    rmSync(folder, { recursive: true, force: true });
    const out = stdout.toString();
    expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
    expect(out).toContain(`modules/${name}/cases.toml: 5 cases passed`);
    expect(out).toContain(`${name}@1 is deployed and active`);
    const seconds = cpuSeconds(out);
    expect(seconds).toBeGreaterThan(0.1);
    expect(seconds).toBeLessThan(MOST_SECONDS);
    console.log(`${language}: ${seconds.toFixed(1)} s of CPU time${offline === '' ? '' : ', offline'}`);

    project.write(
      `pipelines/${name}.toml`,
      `name = "${name}"\n[source]\ntopic = "${name}.in"\n[[step]]\nname = "s"\nmodule = "${name}"\n`,
    );
    await project.restart();
    const there = ['--brokers', `127.0.0.1:${project.server.kafka.port}`];
    await project.run(['produce', `${name}.in`, ...there], '{"id":"o-1","total":5000}\n{"test":true}\n');
    const read = () => project.run(['consume', `${name}.out`, '--from', 'earliest', '-e', ...there]);
    expect((await until(read, ran => ran.out !== '')).out).toBe('{"id":"o-1","total":5000,"big":true}\n');
  });
});
