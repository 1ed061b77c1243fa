import { suggest } from '../../core/config/did-you-mean.ts';
import type { Path } from '../../core/config/toml.ts';
import type { Checker } from './checker.ts';
import { checkModuleConfig } from './module-config.ts';
import { type FoundModule, parseModuleRef } from './module-ref.ts';
import type { ConnectorPlan, OutputPlan, PipelinePlan, SinkPlan, StepPlan, TestPlan } from './plan.ts';
import { connectorsOf, outputNames, outputTopic, sourceTopic } from './rules.ts';
import type { ConnectorSchemas, PipelineFile, SinkTable } from './schema.ts';
import { compileWhen } from './when.ts';

/** 2026-01-01T00:00:00Z: test records have the same time wherever and whenever they run. */
const TEST_TIME = 1_767_225_600_000;

/** Builds the plan, checking connector tables and modules on the way. Worth something only without errors. */
export function planOf(file: PipelineFile, path: string, checker: Checker): PipelinePlan {
  const outputs = outputsOf(file);
  return {
    name: file.name,
    file: path,
    source: {
      topic: sourceTopic(file),
      start: file.source.start,
      connector: connectorIn(file.source, connectorsOf(file.source), ['source'], checker.types.sourceTypes, checker),
    },
    steps: file.step.map((step, i) => stepOf(step, i, checker)),
    outputs,
    sinks: Object.entries(file.sinks).map(([name, sink]) => sinkOf(name, sink, outputs, checker)),
    deadLetterTopic: `${file.name}.dead`,
    deadLetter: deadLetterOf(file, checker),
    tests: file.test.map((test, i) => testOf(test, i, checker)),
  };
}

function outputsOf(file: PipelineFile): OutputPlan[] {
  return outputNames(file).map(name => {
    const declared = file.outputs[name];
    const table = typeof declared === 'object' ? declared : undefined;
    return {
      name,
      // Without steps nothing is copied: the sinks read the source topic.
      topic: file.step.length === 0 ? sourceTopic(file) : outputTopic(file, name),
      partitions: table?.partitions ?? null,
      partitionBy: table?.partition_by ?? 'source',
      codec: table?.compression ?? 'none',
      retentionMs: table?.retention ?? null,
      maxBacklogBytes: table?.max_backlog ?? 5 * 2 ** 30,
      onBacklog: table?.on_backlog ?? 'pause',
    };
  });
}

function stepOf(step: PipelineFile['step'][number], index: number, checker: Checker): StepPlan {
  const path: Path = ['step', index];
  const ref = parseModuleRef(step.module);
  const module = ref ?? { name: step.module, version: null, sha256: null };
  let config: unknown = step.config;
  let schema: object | null = null;
  if (checker.isUnresolved([...path, 'module'])) {
    // Which module it is hangs on a variable: nothing more can be said.
  } else if (!ref) {
    const how = 'write "name", "name@1.2", "name@sha256:" with at least 8 digits, or "path/of/a.wasm"';
    checker.error([...path, 'module'], `"${step.module}" does not name a module`, how);
  } else {
    const found = checker.findModule(ref);
    const names = checker.types.modules.names();
    if (typeof found === 'string') checker.error([...path, 'module'], found);
    else if (found) {
      if (found.redacts && step.on_error === 'pass') {
        const why = 'what it should take out would go through on an error: use "dead_letter", "drop" or "stop"';
        checker.error([...path, 'on_error'], `\`${ref.name}\` redacts, so \`on_error\` cannot be "pass"`, why);
      }
      checkState(found, path, checker);
      schema = found.configSchema ?? null;
      config = checkModuleConfig(found, step.config, [...path, 'config'], checker);
      if (step.shadow && found.state) {
        const why = 'its state has no second hand';
        checker.error([...path, 'shadow'], `\`${ref.name}\` keeps state: nothing can be tried beside it`, why, 'key');
      }
      if (step.look_back && found.abi !== 'fluvio') {
        const why = 'only Fluvio SmartModules look back';
        checker.error([...path, 'look_back'], `\`${ref.name}\` does not look back`, why, 'key');
      }
    } else if (ref.name.endsWith('.wasm')) {
      const why = 'paths begin in the folder of the configuration file, as `broker.modules_dir` does';
      checker.error([...path, 'module'], `there is no file "${ref.name}" that fits`, why);
    } else if (names.includes(ref.name)) {
      checker.error([...path, 'module'], `the module \`${ref.name}\` has no version that fits "${step.module}"`);
    } else {
      const help = suggest(ref.name, names) ?? 'a module is a folder with a module.toml in `broker.modules_dir`';
      checker.error([...path, 'module'], `there is no module \`${ref.name}\``, help);
    }
  }
  return {
    name: step.name,
    module,
    config,
    secrets: checker.secretsIn([...path, 'config'], config, schema),
    onError: step.on_error,
    memoryBytes: step.limits.memory,
    timeMs: step.limits.time,
    ...(step.limits.fuel === undefined ? {} : { fuel: step.limits.fuel }),
    maxFailuresInARow: step.max_failures?.in_a_row ?? null,
    stateBytes: step.limits.state,
    idleMs: step.idle_after,
    ...(step.shadow && { shadow: shadowOf(step.shadow, [...path, 'shadow'], checker) }),
    ...(step.look_back && { lookBack: { last: step.look_back.last ?? null, ageMs: step.look_back.age ?? null } }),
  };
}

function shadowOf(
  { module: text, sample }: NonNullable<PipelineFile['step'][number]['shadow']>,
  path: Path,
  checker: Checker,
): NonNullable<StepPlan['shadow']> {
  const module = parseModuleRef(text) ?? { name: text, version: null, sha256: null };
  if (checker.isUnresolved([...path, 'module'])) return { module, sample };
  const found = checker.findModule(module);
  if (typeof found === 'string') checker.error([...path, 'module'], found);
  else if (!found) checker.error([...path, 'module'], `there is no module that fits "${text}"`);
  else if (found.state) {
    const why = 'what it would keep could not be taken back';
    checker.error([...path, 'module'], `\`${found.name}\` keeps state: it cannot be tried beside another`, why);
  }
  return { module, sample };
}

/** Keys of a step that mean nothing to this module. */
function checkState({ name, state }: FoundModule, path: Path, checker: Checker): void {
  if (!state && checker.document.has([...path, 'limits', 'state'])) {
    checker.warning([...path, 'limits', 'state'], `\`${name}\` keeps no state`, 'leave `state` out', 'key');
  }
  if (!state?.timers && checker.document.has([...path, 'idle_after'])) {
    checker.warning([...path, 'idle_after'], `\`${name}\` sets no timers`, 'leave `idle_after` out', 'key');
  }
}

function sinkOf(name: string, sink: SinkTable, outputs: OutputPlan[], checker: Checker): SinkPlan {
  const types = checker.types.sinkTypes;
  const path: Path = ['sinks', name];
  const table: Readonly<Record<string, unknown>> = sink;
  const given = [...types.keys()].filter(type => table[type] !== undefined);
  const connector = connectorIn(table, given, path, types, checker);
  if (!connector) {
    const list = [...types.keys()].map(type => `\`[sinks.${name}.${type}]\``).join(', ');
    checker.error(path, `the sink \`${name}\` has no connector`, `add one of ${list}`, 'key');
  }
  const topic = (outputs.find(output => output.name === sink.from) ?? outputs[0])?.topic ?? '';
  const { batch, retry } = sink;
  return {
    name,
    from: sink.from,
    topic,
    accepts: sink.when ? compileWhen(sink.when, topic) : () => true,
    connector: connector ?? { type: '', config: {} },
    batch: { records: batch.records, bytes: batch.bytes, lingerMs: batch.linger },
    retry: { attempts: retry.attempts, fromMs: retry.from, toMs: retry.to, onExhausted: retry.on_exhausted },
    onGap: sink.on_gap,
  };
}

/** The connector table among `given`; more than one is an error, none gives null. */
function connectorIn(
  table: Readonly<Record<string, unknown>>,
  given: readonly string[],
  path: Path,
  types: ConnectorSchemas,
  checker: Checker,
): ConnectorPlan | null {
  const [type, second] = given;
  if (type === undefined) return null;
  if (second !== undefined && path[0] !== 'source') {
    const names = given.map(each => `\`${each}\``).join(' and ');
    const how = path[0] === 'sinks' ? 'write one sink for each: one output can have many' : 'keep one';
    checker.error([...path, second], `two connectors in one table: ${names}`, how, 'key');
  }
  const schema = types.get(type);
  return { type, config: schema ? checker.table(schema, table[type], [...path, type]) : table[type] };
}

function deadLetterOf(file: PipelineFile, checker: Checker): ConnectorPlan | null {
  const types = checker.types.sinkTypes;
  if (file.dead_letter) {
    const table: Readonly<Record<string, unknown>> = file.dead_letter;
    const given = [...types.keys()].filter(type => table[type] !== undefined);
    return connectorIn(table, given, ['dead_letter'], types, checker);
  }
  // Dead letters are for people to look at: files, unless the pipeline says otherwise.
  const parsed = types.get('file')?.safeParse({ path: `dead-letter/${file.name}/{yyyy}-{MM}-{dd}.ndjson` });
  return parsed?.success ? { type: 'file', config: parsed.data } : null;
}

function testOf(test: PipelineFile['test'][number], index: number, checker: Checker): TestPlan {
  const { input } = test;
  return {
    name: test.name,
    line: checker.document.keyAt(['test', index]).line,
    env: test.env,
    input: {
      key: input.key === undefined ? null : Buffer.from(input.key),
      value: valueOf(input),
      headers: input.headers ?? {},
      timestamp: input.timestamp ?? TEST_TIME,
    },
    expect: test.expect.map(expect => ({
      ...(expect.sinks && { sinks: expect.sinks }),
      ...(expect.outputs && { outputs: expect.outputs }),
      ...(expect.json !== undefined && { json: jsonOf(expect.json) }),
      ...(expect.absent && { absent: expect.absent }),
      ...(expect.matches && { matches: expect.matches }),
      ...(expect.headers && { headers: expect.headers }),
      ...(expect.count !== undefined && { count: expect.count }),
      ...(expect.dead_letter && { deadLetter: definedOnly(expect.dead_letter) }),
    })),
  };
}

function definedOnly(letter: { step?: string | undefined; code?: string | undefined }): {
  step?: string;
  code?: string;
} {
  return {
    ...(letter.step === undefined ? {} : { step: letter.step }),
    ...(letter.code === undefined ? {} : { code: letter.code }),
  };
}

function valueOf(input: PipelineFile['test'][number]['input']): Uint8Array | null {
  if (input.base64 !== undefined) return Buffer.from(input.base64, 'base64');
  if (input.text !== undefined) return Buffer.from(input.text);
  if (input.json !== undefined) return Buffer.from(typeof input.json === 'string' ? input.json : toJson(input.json));
  return null;
}

function jsonOf(expected: unknown): unknown {
  // A table from the file has passed through here as it is; text is JSON, checked by the schema.
  return typeof expected === 'string' ? JSON.parse(expected) : JSON.parse(toJson(expected));
}

function toJson(value: unknown): string {
  return JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? Number(each) : each));
}
