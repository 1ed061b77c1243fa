import { afterEach, describe, expect, it } from 'vitest';
import { pathLine, nextCommands, story } from '../../../server/cli/story.ts';
import type { PipelineStatus } from '../../../server/pipeline-status.ts';
import { type Project, startProject, until } from '../support.ts';

const STEPS = `
name = "people"
[source]
topic = "people"
[[step]]
name = "scrub"
module = "pii_scrubber"
config = { fields = ["email"] }
[sinks.all.file]
path = "out/all.ndjson"
[sinks.german]
when = { json = "/country", equals = "de" }
[sinks.german.file]
path = "out/german.ndjson"
`;

const fromFile = (path: string): string => `
name = "lines"
[source.file]
path = "${path}"
[sinks.copy.file]
path = "out/copy.ndjson"
`;

describe('the first screen', () => {
  let project: Project;
  afterEach(() => project.close());
  const status = (): PipelineStatus => {
    const [pipeline] = project.server.pipelines;
    if (!pipeline) throw new Error('no pipeline');
    return pipeline.status();
  };
  const produce = (topic: string, ...values: string[]) =>
    fetch(`${project.url}/api/v1/topics/${topic}/records`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records: values.map(value => ({ key: 'k', value })) }),
    });

  it('says what a new pipeline waits for, and how to give it something', async () => {
    project = await startProject({ 'pipelines/people.toml': STEPS });
    expect(pathLine(status())).toBe('topic people -> scrub -> all, german');
    expect(story(status())).toBe('  waits for records in people\n');
    expect(nextCommands([status()])).toContain('| npx millstream produce people\n');
  });

  it('shows what changed, a dead letter, counts that add up, and what is left out', async () => {
    project = await startProject({ 'pipelines/people.toml': STEPS });
    await produce('people', '{"email":"a@b.c","country":"de"}', 'oops');
    await until(status, each => each.sinks.every(sink => sink.lag === 0 && sink.in === 1));
    await produce('people', '{"email":"d@e.f","country":"fr"}');
    const done = await until(
      status,
      each => each.records === 3 && each.sinks.every(sink => sink.lag === 0 && sink.in === 2),
    );
    const said = story(done);
    expect(said).toMatch(/ {2}scrub {2}\(record people\/\d@\d\)\n {4}email {2}"[ad]@[be]\.[cf]" -> "\*\*\*"\n/);
    expect(said).toMatch(/ {2}a dead letter, record people\/\d@1\n {4}INVALID_JSON in step scrub: /);
    expect(said).toContain('  3 records in; 2 to people.out, 1 dead, 0 dropped\n');
    expect(said).toMatch(/sink all +2 written\n/);
    expect(said).toMatch(/sink german +1 written, 1 left out by its `when`\n/);
    expect(nextCommands([done])).toContain('npx millstream consume people.out --from earliest --limit 3\n');
  });

  it('says after a restart that nothing is new, and what there is from before', async () => {
    project = await startProject({ 'pipelines/lines.toml': fromFile('in.ndjson'), 'in.ndjson': '{"a":1}\n{"a":2}\n' });
    await until(status, each => each.sinks[0]?.written === 2);
    await project.restart();
    const again = await until(status, each => each.source.connector?.state === 'finished');
    expect(story(again)).toContain('  nothing new: the file source was read to its end before');
    expect(story(again)).toContain('  from earlier runs: 2 in lines.in\n');
  });

  it('says what is wrong with a part of a pipeline', async () => {
    project = await startProject({ 'pipelines/lines.toml': fromFile('nowhere.ndjson') });
    const stuck = await until(status, each => each.state === 'degraded');
    expect(story(stuck)).toMatch(/^ {2}degraded: the source is degraded: .*nowhere\.ndjson.*\n$/);
  });
});
