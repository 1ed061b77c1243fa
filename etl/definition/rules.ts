import { suggest } from '../../core/config/did-you-mean.ts';
import type { Checker } from './checker.ts';
import { type PipelineFile, SOURCE_SETTINGS } from './schema.ts';

/** What needs more than one key at a time. Each rule says where and how to mend it. */
export function checkRules(file: PipelineFile, checker: Checker): void {
  checkNames(file, checker);
  checkOutputs(file, checker);
  checkSinks(file, checker);
  checkTests(file, checker);
  const idle = file.step.length === 0 && Object.keys(file.sinks).length === 0 && connectorsOf(file.source).length === 0;
  if (idle) checker.warning(['name'], 'this pipeline does nothing', 'add a `[[step]]` or a `[sinks.NAME]`');
}

/** The connector tables under `[source]`: at most one is right. */
export function connectorsOf(source: PipelineFile['source']): string[] {
  return Object.entries(source).flatMap(([key, value]) =>
    SOURCE_SETTINGS.includes(key) || value === undefined ? [] : [key],
  );
}

/** The topic that the steps read. */
export function sourceTopic(file: PipelineFile): string {
  return file.source.topic ?? `${file.name}.in`;
}

export function outputTopic(file: PipelineFile, output: string): string {
  const declared = file.outputs[output];
  const topic = typeof declared === 'string' ? declared : declared?.topic;
  return topic ?? (output === 'default' ? `${file.name}.out` : `${file.name}.${output}`);
}

/** "default" first, then as declared. */
export function outputNames(file: PipelineFile): string[] {
  return ['default', ...Object.keys(file.outputs).filter(name => name !== 'default')];
}

function checkNames(file: PipelineFile, checker: Checker): void {
  const steps = new Set<string>();
  file.step.forEach((step, i) => {
    if (steps.has(step.name)) checker.error(['step', i, 'name'], `there are two steps named \`${step.name}\``);
    steps.add(step.name);
  });
  for (const sink of Object.keys(file.sinks)) {
    if (!steps.has(sink)) continue;
    const why = 'dead letters name the step or sink that they come from: choose another name';
    checker.error(['sinks', sink], `there is a step named \`${sink}\` too`, why, 'key');
  }
  const tests = new Set<string>();
  file.test.forEach((test, i) => {
    if (tests.has(test.name)) checker.error(['test', i, 'name'], `there are two tests named "${test.name}"`);
    tests.add(test.name);
  });
  const connectors = connectorsOf(file.source);
  const given = [...(file.source.topic === undefined ? [] : ['topic']), ...connectors];
  if (given.length === 0) {
    checker.error(['source'], 'the source is missing', 'write `topic = "..."`, or one table `[source.TYPE]`', 'key');
  } else if (given.length > 1) {
    const names = given.map(each => `\`${each}\``).join(' and ');
    const last = given.at(-1) ?? '';
    checker.error(['source', last], `the source is given twice: ${names}`, 'keep exactly one', 'key');
  }
}

function checkOutputs(file: PipelineFile, checker: Checker): void {
  if (file.step.length === 0) {
    for (const name of Object.keys(file.outputs).slice(0, 1)) {
      const why = 'without steps the sinks read the source topic: remove `[outputs]`';
      checker.error(['outputs', name], 'no step writes to this output', why, 'key');
    }
    return;
  }
  const source = sourceTopic(file);
  const writers = new Map<string, string>([
    [`${file.name}.dead`, 'the dead letters'],
    [`${file.name}.replay`, 'the replays of dead letters'],
    [`${file.name}.state`, 'the state of the steps'],
  ]);
  for (const name of outputNames(file)) {
    const declared = file.outputs[name];
    const path =
      typeof declared === 'object' && declared.topic !== undefined ? ['outputs', name, 'topic'] : ['outputs', name];
    const topic = outputTopic(file, name);
    const taken = writers.get(topic);
    if (topic === source) {
      const why = 'every record would go round for ever: choose another topic';
      checker.error(path, `output \`${name}\` writes to \`${topic}\`, which is the source topic`, why);
    } else if (taken !== undefined) {
      checker.error(path, `output \`${name}\` writes to \`${topic}\`, as do ${taken}`, 'choose another topic');
    }
    writers.set(topic, `those of output \`${name}\``);
    if (typeof declared === 'object' && declared.partitions !== undefined && declared.partition_by !== 'key') {
      const why = 'add `partition_by = "key"`, or leave `partitions` out';
      checker.error(['outputs', name, 'partitions'], 'an output has as many partitions as its source', why, 'key');
    }
  }
  if (source === `${file.name}.state`) {
    checker.error(['source', 'topic'], "a pipeline cannot read its own steps' state", 'choose another topic');
  }
  if (source === `${file.name}.dead`) {
    checker.error(['source', 'topic'], 'a pipeline cannot read its own dead letters', 'replay them instead');
  }
}

function checkSinks(file: PipelineFile, checker: Checker): void {
  const outputs = file.step.length === 0 ? ['default'] : outputNames(file);
  for (const [name, sink] of Object.entries(file.sinks)) {
    if (!outputs.includes(sink.from)) {
      checker.error(['sinks', name, 'from'], `there is no output \`${sink.from}\``, suggest(sink.from, outputs));
    }
    if (sink.retry.to < sink.retry.from) {
      checker.error(['sinks', name, 'retry', 'to'], '`to` is shorter than `from`');
    }
  }
}

function checkTests(file: PipelineFile, checker: Checker): void {
  const known = {
    sinks: Object.keys(file.sinks),
    outputs: file.step.length === 0 ? ['default'] : outputNames(file),
    steps: file.step.map(step => step.name),
  };
  file.test.forEach((test, i) => {
    test.expect.forEach((expect, j) => {
      const path = ['test', i, 'expect', j] as const;
      expect.sinks?.forEach((sink, k) => {
        if (known.sinks.includes(sink)) return;
        checker.error([...path, 'sinks', k], `there is no sink \`${sink}\``, suggest(sink, known.sinks));
      });
      expect.outputs?.forEach((output, k) => {
        if (known.outputs.includes(output)) return;
        checker.error([...path, 'outputs', k], `there is no output \`${output}\``, suggest(output, known.outputs));
      });
      const step = expect.dead_letter?.step;
      if (step !== undefined && !known.steps.includes(step)) {
        checker.error([...path, 'dead_letter', 'step'], `there is no step \`${step}\``, suggest(step, known.steps));
      }
    });
  });
}
