import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { renderDiagnostic } from '../../../core/config/diagnostic.ts';
import { lint, read } from './fixtures.ts';

const TOP = 'name = "orders"\n[source]\ntopic = "orders"\n';
const SINK = '[sinks.lake.file]\npath = "x"\n';
const STEP = '[[step]]\nname = "s"\nmodule = "passthrough"\n';

describe('keys', () => {
  test.each([
    ['a misspelt key', `nmae = "x"\n[source]\ntopic = "t"\n${SINK}`, ['1:1 unknown key `nmae` (did you mean `name`?)']],
    [
      'a key that fell into the table above',
      `[source]\ntopic = "t"\nname = "orders"\n${SINK}`,
      [
        '3:1 `name` belongs to the top of the file, but it stands under `[source]` (move it above the first table header)',
      ],
    ],
    [
      'a setting of the sink under its connector',
      `${TOP}${SINK}when = { header = "a", exists = true }\n`,
      [
        '6:1 `when` belongs to `[sinks.lake]`, but it stands under `[sinks.lake.file]` (move it above `[sinks.lake.file]`)',
      ],
    ],
    [
      'a setting of the sink under a connector whose schema is not strict',
      `${TOP}[sinks.k.kafka]\nbrokers = []\ntopic = "t"\nretry = { attempts = 1 }\n`,
      ['7:1 `retry` belongs to `[sinks.k]`, but it stands under `[sinks.k.kafka]` (move it above `[sinks.k.kafka]`)'],
    ],
    [
      'a setting of the step in its limits',
      `${TOP}${STEP}[step.limits]\ntime = "1s"\non_error = "drop"\n${SINK}`,
      ['9:1 `on_error` belongs to `[[step]]`, but it stands under `[step.limits]` (move it above `[step.limits]`)'],
    ],
    [
      '[[steps]]',
      `${TOP}[[steps]]\nname = "s"\nmodule = "passthrough"\n${SINK}`,
      ['4:3 unknown key `steps` (steps are written one by one: `[[step]]`)'],
    ],
    [
      '[step]',
      `${TOP}[step]\nname = "s"\n${SINK}`,
      ['4:2 `step`: expected a list, found a table (write `[[step]]`, with two brackets: there may be several)'],
    ],
    [
      '[sink.x]',
      `${TOP}[sink.x.file]\npath = "x"\n`,
      ['4:2 unknown key `sink` (sinks are written `[sinks.NAME]`, with the connector in `[sinks.NAME.TYPE]`)'],
    ],
    [
      '[[sinks]]',
      `${TOP}[[sinks]]\nname = "x"\n`,
      ['4:3 `sinks`: expected a table, found a list (write `[sinks.NAME]`: every sink has a name)'],
    ],
    ['a misspelt section', `${TOP}[sinsk.a.file]\npath = "x"\n`, ['4:2 unknown key `sinsk` (did you mean `sinks`?)']],
    [
      'a key without a meaning in a module config without schema',
      `${TOP}${STEP}[step.config]\non_error = "drop"\n${SINK}`,
      [
        "8:1 warning: `on_error` is part of the module's config here (in TOML a key belongs to the header above it: move it above `[step.config]` if the step is meant)",
      ],
    ],
  ])('%s', (_, text, expected) => {
    expect(lint(text)).toEqual(expected);
  });
});

describe('sources and sinks', () => {
  test.each([
    [
      'a connector that does not exist',
      `${TOP}[sinks.lake.snowflake]\ntable = "t"\n`,
      ['4:13 there is no sink connector `snowflake` (there are: `file`, `kafka`)'],
    ],
    [
      'a misspelt connector',
      `${TOP}[sinks.lake.flie]\npath = "t"\n`,
      ['4:13 there is no sink connector `flie` (did you mean `file`? (there are: `file`, `kafka`))'],
    ],
    [
      'an unknown source',
      `name = "x"\n[source.ftp]\nurl = "u"\n${SINK}`,
      ['2:9 there is no source connector `ftp` (there are: `file`)'],
    ],
    [
      'an unknown place for dead letters',
      `${TOP}${SINK}[dead_letter.slack]\nchannel = "c"\n`,
      ['6:14 there is no sink connector `slack` (there are: `file`, `kafka`)'],
    ],
    [
      'two connectors in one sink',
      `${TOP}${SINK}[sinks.lake.kafka]\nbrokers = []\ntopic = "t"\n`,
      ['6:13 two connectors in one table: `file` and `kafka` (write one sink for each: one output can have many)'],
    ],
    [
      'a sink without a connector',
      `${TOP}[sinks.lake]\nbatch = { records = 5 }\n`,
      ['4:8 the sink `lake` has no connector (add one of `[sinks.lake.file]`, `[sinks.lake.kafka]`)'],
    ],
    [
      'a missing key of a connector',
      `${TOP}[sinks.k.kafka]\nbrokers = []\n`,
      ['4:10 `sinks.k.kafka.topic` is missing'],
    ],
    [
      'a misspelt key of a connector says it once',
      `${TOP}[sinks.k.kafka]\nbrokers = []\ntopci = "t"\n`,
      ['6:1 unknown key `topci` (did you mean `topic`?)'],
    ],
    [
      'no source',
      `name = "x"\n[source]\n${SINK}`,
      ['2:2 the source is missing (write `topic = "..."`, or one table `[source.TYPE]`)'],
    ],
    [
      'two sources',
      `name = "x"\n[source]\ntopic = "t"\n[source.file]\npath = "p"\n${SINK}`,
      ['4:9 the source is given twice: `topic` and `file` (keep exactly one)'],
    ],
    [
      'an unknown output',
      `${TOP}${STEP}[outputs]\nsuspect = "t"\n[sinks.a]\nfrom = "suspcet"\n[sinks.a.file]\npath = "x"\n`,
      ['10:8 there is no output `suspcet` (did you mean `suspect`?)'],
    ],
    [
      'several conditions in one',
      `${TOP}[sinks.a]\nwhen = { header = "x", equals = "1", json = "/a" }\n[sinks.a.file]\npath = "x"\n`,
      [
        '5:8 `sinks.a.when`: `header` and `json` together (one condition at a time: put several into `all = [{ ... }, { ... }]` or `any = [...]`)',
      ],
    ],
    [
      'a misspelt condition',
      `${TOP}[sinks.a]\nwhen = { any = [{ header = "x", equal = "1" }] }\n[sinks.a.file]\npath = "x"\n`,
      ['5:33 unknown key `equal` (did you mean `equals`?)'],
    ],
    [
      'back-off that ends before it begins',
      `${TOP}[sinks.a]\nretry = { from = "5s", to = "1s" }\n[sinks.a.file]\npath = "x"\n`,
      ['5:29 `to` is shorter than `from`'],
    ],
    [
      'a pipeline that does nothing',
      TOP,
      ['1:8 warning: this pipeline does nothing (add a `[[step]]` or a `[sinks.NAME]`)'],
    ],
  ])('%s', (_, text, expected) => {
    expect(lint(text)).toEqual(expected);
  });
});

describe('names and topics', () => {
  test.each([
    [
      'a name with a dot',
      `name = "a.b"\nsource = { topic = "t" }\n${SINK}`,
      ['1:8 `name`: a name has 1 to 63 of the characters a-z, 0-9, _ and -'],
    ],
    [
      'a name that is taken',
      `${TOP}[sinks.source.file]\npath = "x"\n`,
      ['4:8 `sinks.source`: the name `source` is taken: positions of sources are kept under it'],
    ],
    [
      'a sink name in capitals',
      `${TOP}[sinks.Lake.file]\npath = "x"\n`,
      ['4:8 `sinks.Lake`: a name has 1 to 63 of the characters a-z, 0-9, _ and -'],
    ],
    ['two steps of one name', `${TOP}${STEP}${STEP}${SINK}`, ['8:8 there are two steps named `s`']],
    [
      'a sink named like a step',
      `${TOP}${STEP}[sinks.s.file]\npath = "x"\n`,
      [
        '7:8 there is a step named `s` too (dead letters name the step or sink that they come from: choose another name)',
      ],
    ],
    [
      'a loop',
      `${TOP}${STEP}[outputs]\ndefault = "orders"\n${SINK}`,
      [
        '8:11 output `default` writes to `orders`, which is the source topic (every record would go round for ever: choose another topic)',
      ],
    ],
    [
      'a loop by default name',
      `name = "orders"\n[source]\ntopic = "orders.out"\n${STEP}[outputs]\nother = { topic = "t" }\n${SINK}`,
      [
        '7:2 output `default` writes to `orders.out`, which is the source topic (every record would go round for ever: choose another topic)',
      ],
    ],
    [
      'two outputs on one topic',
      `${TOP}${STEP}[outputs]\na = "t"\nb = { topic = "t" }\n${SINK}`,
      ['9:15 output `b` writes to `t`, as do those of output `a` (choose another topic)'],
    ],
    [
      'an output on the dead letters',
      `${TOP}${STEP}[outputs]\ndead = {}\n${SINK}`,
      ['8:8 output `dead` writes to `orders.dead`, as do the dead letters (choose another topic)'],
    ],
    [
      'own dead letters as the source',
      `name = "x"\n[source]\ntopic = "x.dead"\n${STEP}${SINK}`,
      ['3:9 a pipeline cannot read its own dead letters (replay them instead)'],
    ],
    [
      'outputs without steps',
      `${TOP}[outputs]\ndefault = "t"\n${SINK}`,
      ['5:1 no step writes to this output (without steps the sinks read the source topic: remove `[outputs]`)'],
    ],
    [
      'partitions without a key',
      `${TOP}${STEP}[outputs]\na = { partitions = 3 }\n${SINK}`,
      ['8:7 an output has as many partitions as its source (add `partition_by = "key"`, or leave `partitions` out)'],
    ],
    [
      'a topic name with a space',
      `name = "x"\nsource = { topic = "a b" }\n${SINK}`,
      ['2:20 `source.topic`: a topic name has 1 to 249 of the characters a-z, A-Z, 0-9, ., _ and -'],
    ],
  ])('%s', (_, text, expected) => {
    expect(lint(text)).toEqual(expected);
  });
});

describe('modules', () => {
  const step = (lines: string): string => `${TOP}[[step]]\nname = "s"\n${lines}\n${SINK}`;
  test.each([
    [
      'an unknown module',
      step('module = "pii_scruber"'),
      ['6:10 there is no module `pii_scruber` (did you mean `pii_scrubber`?)'],
    ],
    [
      'an unknown version',
      step('module = "passthrough@2"'),
      ['6:10 the module `passthrough` has no version that fits "passthrough@2"'],
    ],
    [
      'an unknown digest',
      step('module = "passthrough@sha256:00000000"'),
      ['6:10 the module `passthrough` has no version that fits "passthrough@sha256:00000000"'],
    ],
    [
      'a digest that is too short',
      step('module = "passthrough@sha256:cd"'),
      [
        '6:10 "passthrough@sha256:cd" does not name a module (write "name", "name@1.2", "name@sha256:" with at least 8 digits, or "path/of/a.wasm")',
      ],
    ],
    [
      'pass on a module that redacts',
      step('module = "pii_scrubber"\nconfig = { fields = ["a"] }\non_error = "pass"'),
      [
        '8:12 `pii_scrubber` redacts, so `on_error` cannot be "pass" (what it should take out would go through on an error: use "dead_letter", "drop" or "stop")',
      ],
    ],
    [
      'limits of state and idleness on a module without',
      step('module = "passthrough"\nlimits = { state = "1MiB" }\nidle_after = "1s"'),
      [
        '7:12 warning: `passthrough` keeps no state (leave `state` out)',
        '8:1 warning: `passthrough` sets no timers (leave `idle_after` out)',
      ],
    ],
    [
      'the same on one with state and no timers',
      step('module = "counter"\nlimits = { state = "1MiB" }\nidle_after = "1s"'),
      ['8:1 warning: `counter` sets no timers (leave `idle_after` out)'],
    ],
    ['a config that lacks a key', step('module = "pii_scrubber"'), ['4:3 `step[0].config.fields` is missing']],
    [
      'a config with a misspelt key',
      step('module = "pii_scrubber"\n[step.config]\nfields = ["a"]\nmehtod = "mask"'),
      ['9:1 unknown key `mehtod` (did you mean `method`?)'],
    ],
    [
      'a config with a wrong value',
      step('module = "pii_scrubber"\nconfig = { fields = ["a", 5], method = "sha", rounds = 0 }'),
      [
        '7:27 `step[0].config.fields[1]`: expected a string, found a number',
        '7:40 `step[0].config.method`: expected one of "mask", "sha256"',
        '7:56 `step[0].config.rounds`: must be at least 1',
      ],
    ],
    [
      'a config that JSON cannot carry',
      step('module = "passthrough"\nconfig = { a = [9007199254740993], b = { c = inf } }'),
      [
        '7:17 9007199254740993 cannot be written as JSON exactly (write it as text)',
        '7:46 Infinity cannot be written as JSON exactly (write it as text)',
      ],
    ],
    [
      'a limit out of bounds',
      step('module = "passthrough"\nlimits = { memory = "1KiB", time = 0 }'),
      ['7:21 `step[0].limits.memory`: must be at least 64KiB', '7:36 `step[0].limits.time`: must be at least 1ms'],
    ],
  ])('%s', (_, text, expected) => {
    expect(lint(text)).toEqual(expected);
  });
});

describe('tests', () => {
  const testCase = (input: string, expected: string): string =>
    `${TOP}${STEP}${SINK}[[test]]\nname = "t"\ninput = ${input}\nexpect = [${expected}]\n`;
  test.each([
    [
      'unquoted dots in matches',
      testCase('{ text = "x" }', '{ matches = { customer.email = "^x$" } }'),
      [
        '12:25 `test[0].expect[0].matches.customer`: the dots of an unquoted key make tables of it (write it in quotes: "customer.email" = ...)',
      ],
    ],
    [
      'a regular expression that is none',
      testCase('{ text = "x" }', '{ matches = { a = "[" } }'),
      ['12:29 `test[0].expect[0].matches.a`: invalid regular expression: /[/u: Unterminated character class'],
    ],
    [
      'a record without a value',
      testCase('{ key = "x" }', '{ count = 1 }'),
      ['11:9 `test[0].input`: the record has no value (give one of `json`, `text`, `base64`, `tombstone = true`)'],
    ],
    [
      'a record with two values',
      testCase('{ text = "x", json = "{}" }', '{ count = 1 }'),
      [
        '11:9 `test[0].input`: the record has more than one value (give one of `json`, `text`, `base64`, `tombstone = true`)',
      ],
    ],
    [
      'an expectation of nothing',
      testCase('{ text = "x" }', '{}'),
      [
        '12:11 `test[0].expect[0]`: expects nothing: give one of sinks, outputs, json, absent, matches, headers, count, dead_letter',
      ],
    ],
    [
      'names that do not exist',
      testCase('{ text = "x" }', '{ sinks = ["lak"], outputs = ["x"], dead_letter = { step = "z" } }'),
      [
        '12:22 there is no sink `lak` (did you mean `lake`?)',
        '12:41 there is no output `x` (there are: `default`)',
        '12:70 there is no step `z` (there are: `s`)',
      ],
    ],
    [
      'expected JSON that is none',
      testCase('{ text = "x" }', '{ json = "{" }'),
      [
        "12:20 `test[0].expect[0].json`: not JSON: Expected property name or '}' in JSON at position 1 (line 1 column 2)",
      ],
    ],
    [
      'two tests of one name',
      `${testCase('{ text = "x" }', '{ count = 1 }')}[[test]]\nname = "t"\ninput = { text = "x" }\nexpect = [{ count = 1 }]\n`,
      ['14:8 there are two tests named "t"'],
    ],
  ])('%s', (_, text, expected) => {
    expect(lint(text)).toEqual(expected);
  });
});

test('a syntax error is the only finding', () => {
  expect(lint(`${TOP}[[step]\nname = "s"`)).toHaveLength(1);
});

test('a finding shows its line and marks the place', () => {
  const text = `${TOP}[sinks.lake.file]\npaht = "x"\n`;
  const [finding] = read(text).diagnostics;
  expect(renderDiagnostic(finding as NonNullable<typeof finding>, text)).toBe(
    'orders.toml:5:1: error: unknown key `paht`\n    5 | paht = "x"\n      | ^^^^ did you mean `path`?',
  );
});

test('a file that is damaged anywhere gives findings, never an exception', () => {
  const good = readFileSync(new URL('./read-pipeline.test.ts', import.meta.url), 'utf8')
    .split('const FULL = `')[1]
    ?.split('`;')[0] as string;
  const text = good.replaceAll('\\$', '$');
  const lines = text.split('\n');
  // Each line is damaged in one of five ways; over the lines every way comes up often.
  const damages: ((line: string) => string[])[] = [
    () => [],
    line => [line.slice(0, -3)],
    line => [line.replace(/"[^"]*"/, '[1]')],
    line => [line.replace(/^\[/, '[[')],
    line => ['stray = { a = 1 }', line],
  ];
  lines.forEach((line, i) => {
    const damaged = lines.toSpliced(i, 1, ...(damages[i % damages.length]?.(line) ?? []));
    const { plan, diagnostics } = read(damaged.join('\n'), { env: { FOLLOW: 'true', BROKER: 'b', PORT: '1' } });
    expect(plan !== null || diagnostics.length > 0).toBe(true);
    for (const each of diagnostics) expect(each.line).toBeGreaterThan(0);
  });
});
