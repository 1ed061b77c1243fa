import { expect, test } from 'vitest';
import { lint } from './fixtures.ts';

/** What lint says about modules in files and about those of other systems. */

const step = (lines: string): string =>
  `name = "x"\n[source]\ntopic = "t"\n[[step]]\nname = "s"\n${lines}\n[sinks.out.file]\npath = "p"\n`;

test('a file is a module', () => {
  expect(lint(step('module = "wasm/mask.wasm"\nconfig = { FIELD = "card", N = 1, ON = true, LIST = ["a"] }'))).toEqual(
    [],
  );
  expect(lint(step('module = "wasm/mask.wasm@sha256:12121212"'))).toEqual([]);
  expect(lint(step('module = "keep"\nlook_back = { last = 5, age = "10m" }'))).toEqual([]);
});

test.each([
  [
    'a file that is not there',
    step('module = "wasm/other.wasm"'),
    [
      '6:10 there is no file "wasm/other.wasm" that fits (paths begin in the folder of the configuration file, as `broker.modules_dir` does)',
    ],
  ],
  [
    'a file of another digest',
    step('module = "wasm/mask.wasm@sha256:00000000"'),
    [
      '6:10 there is no file "wasm/mask.wasm" that fits (paths begin in the folder of the configuration file, as `broker.modules_dir` does)',
    ],
  ],
  ['a file that cannot be run', step('module = "wasm/broken.wasm"'), ['6:10 wasm/broken.wasm: it is refused']],
  [
    'an environment that Redpanda would not take',
    step(
      `module = "wasm/mask.wasm"\nconfig = { FINE = "x", REDPANDA_X = 1, "A=B" = "", LONG = "${'x'.repeat(2049)}" }`,
    ),
    [
      '7:24 names that begin with REDPANDA_ are taken',
      '7:40 the name of an environment variable has no "="',
      '7:52 an environment variable has at most 2048 bytes',
    ],
  ],
  [
    'a param that a SmartModule cannot be given',
    step(`module = "keep"\nconfig = { key = "${'x'.repeat(32_768)}" }`),
    ['7:12 a param of a SmartModule has at most 32767 bytes'],
  ],
  [
    'a look back of what does not',
    step('module = "wasm/mask.wasm"\nlook_back = { last = 1 }'),
    ['7:1 `wasm/mask.wasm` does not look back (only Fluvio SmartModules look back)'],
  ],
  [
    'a look back at nothing',
    step('module = "keep"\nlook_back = {}'),
    ['7:13 `step[0].look_back`: write `last`, `age` or both'],
  ],
])('%s', (_what, text, findings) => {
  expect(lint(text)).toEqual(findings);
});
