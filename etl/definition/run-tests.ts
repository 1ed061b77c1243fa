import { asMillstreamError } from '../../core/base/errors.ts';
import { encodeBatch, readRecords } from '../../core/engine/records.ts';
import type { ChainStep, Sandbox } from '../sandbox/sandbox.ts';
import { evaluate, type Failure, type Outcome } from './expectations.ts';
import type { PipelinePlan, TestPlan } from './plan.ts';
import type { ReadResult } from './read-pipeline.ts';

/*
 * Runs a pipeline file's `[[test]]` cases through the real modules, with no broker and no sink: one record in, its
 * outputs, dead letters and the sinks that would take them out.
 */

export interface RunTestsOptions {
  sandbox: Sandbox;
  /** Reads the file again, in `lint` mode, with a case's environment and nothing else of the process's. */
  read: (env: Readonly<Record<string, string>>) => ReadResult;
  /** The plan's steps with their modules. */
  chainSteps: (plan: PipelinePlan) => ChainStep[];
  /** Only cases whose name holds this. */
  only?: string;
}

export interface TestResult {
  name: string;
  /** Where the case begins in the file. */
  line: number;
  /** Empty: passed. */
  failures: Failure[];
}

/** In the order of the file. */
export async function runTests(plan: PipelinePlan, options: RunTestsOptions): Promise<TestResult[]> {
  const cases = plan.tests.filter(test => options.only === undefined || test.name.includes(options.only));
  // All at once: what they compile is shared as long as one of them holds it.
  return Promise.all(cases.map(test => runCase(test, options)));
}

async function runCase(test: TestPlan, options: RunTestsOptions): Promise<TestResult> {
  const result = (failures: Failure[]): TestResult => ({ name: test.name, line: test.line, failures });
  const { plan, diagnostics, unresolved } = options.read(test.env);
  const unset = diagnostics.filter(each => unresolved.includes(each.path ?? '') && each.path?.startsWith('step['));
  const wrong = plan ? unset : diagnostics.filter(each => each.severity === 'error' || each.path === undefined);
  if (!plan || wrong.length > 0) {
    const failures = wrong.map(each => ({ message: `line ${each.line}: ${each.message}`, diff: [] }));
    if (unset.length > 0) failures.push({ message: "a case's variables stand in its own `env`", diff: [] });
    return result(
      failures.length > 0 ? failures : [{ message: 'the pipeline cannot be read with this `env`', diff: [] }],
    );
  }
  try {
    return result(evaluate(test.expect, await outcomeOf(test, plan, options)));
  } catch (error) {
    return result([{ message: asMillstreamError(error).message, diff: [] }]);
  }
}

async function outcomeOf(test: TestPlan, plan: PipelinePlan, options: RunTestsOptions): Promise<Outcome> {
  const { key, value, headers, timestamp } = test.input;
  const pairs = Object.entries(headers).map(([name, text]) => [name, Buffer.from(text)] as const);
  const input = encodeBatch([{ key, value, timestamp, headers: pairs }]);
  if (plan.steps.length === 0) return { ...recordsOf(plan, [{ route: 0, batch: input }]), letters: [], stopped: null };

  const lane = options.sandbox.openLane({
    pipeline: plan.name,
    steps: options.chainSteps(plan),
    outputs: plan.outputs.map(({ name, topic }) => ({ name, topic, rehashPartitions: null, codec: 'none' })),
    source: { topic: plan.source.topic, topicId: '0'.repeat(32), partition: 0 },
  });
  try {
    // The lane takes the buffer over, so it must be one of its own.
    const task = await lane.run({ batches: new Uint8Array(input), from: 0, samples: 0 });
    return { ...recordsOf(plan, task.outputs), letters: task.dead?.letters ?? [], stopped: task.stopped };
  } finally {
    await lane.close();
  }
}

function recordsOf(
  plan: PipelinePlan,
  outputs: readonly { route: number; batch: Uint8Array }[],
): Pick<Outcome, 'records'> {
  const records = outputs.flatMap(({ route, batch }) => {
    const output = plan.outputs[route]?.name ?? 'default';
    const sinks = plan.sinks.filter(sink => sink.from === output);
    return readRecords(batch).map(record => ({
      output,
      record,
      sinks: sinks.filter(sink => sink.accepts(record)).map(sink => sink.name),
    }));
  });
  return { records };
}

/** For a terminal; one line a case, and below a failed one what was expected (-) and what was found (+). */
export function renderTests(file: string, results: readonly TestResult[]): string {
  const lines: string[] = [];
  for (const { name, line, failures } of results) {
    lines.push(failures.length === 0 ? `  ok      ${name}` : `  FAILED  ${name}  (${file}:${line})`);
    for (const { message, diff } of failures) {
      lines.push(`            ${message}`, ...diff.map(each => `              ${each}`));
    }
  }
  const failed = results.filter(each => each.failures.length > 0).length;
  const count = `${results.length} ${results.length === 1 ? 'test' : 'tests'}`;
  lines.push(
    results.length === 0
      ? `${file}: no tests`
      : failed === 0
        ? `${file}: ${count} passed`
        : `${file}: ${failed} of ${count} failed`,
  );
  return lines.join('\n');
}
