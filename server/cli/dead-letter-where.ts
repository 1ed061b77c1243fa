import { type DeadLetter, deadLetterId } from '../../core/engine/dead-letter.ts';
import { type OptionSpec, usageError } from './command.ts';

/*
 * `--where EXPR`: FIELD OPERATOR VALUE, given several times they must all hold.
 *   = !=                    every field; text is compared as it is
 *   < <= > >=               partition, offset, replays (numbers), at (a date and time, or milliseconds since the epoch)
 */

export const WHERE_OPTION: Record<string, OptionSpec> = {
  where: {
    type: 'string',
    multiple: true,
    help: 'only letters with e.g. code=INVALID_JSON, step=scrub, offset>=10, at>=2026-11-21T10:00Z; several must all hold',
  },
};

export type Where = (letter: DeadLetter) => boolean;

const TEXTS: Record<string, (letter: DeadLetter) => string | null> = {
  id: deadLetterId,
  code: letter => letter.code,
  reason: letter => letter.reason,
  stage: letter => letter.stage,
  step: letter => (letter.stage === 'step' ? letter.name : null),
  sink: letter => (letter.stage === 'sink' ? letter.name : null),
  topic: letter => letter.topic,
  sha256: letter => letter.sha256,
};

const NUMBERS: Record<string, (letter: DeadLetter) => number> = {
  partition: letter => letter.partition,
  offset: letter => letter.offset,
  replays: letter => letter.replays,
  at: letter => letter.at,
};

const COMPARE: Record<string, (a: number, b: number) => boolean> = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

/** All of the expressions. Throws a usage error that names the wrong one. */
export function whereOf(expressions: readonly string[]): Where {
  const all = expressions.map(one);
  return letter => all.every(holds => holds(letter));
}

function one(expression: string): Where {
  const [, field = '', operator = '', value = ''] = /^\s*(\w+)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*$/su.exec(expression) ?? [];
  if (operator === '') throw usageError(`--where takes FIELD=VALUE, such as code=INVALID_JSON, not "${expression}"`);
  const text = Object.hasOwn(TEXTS, field) ? TEXTS[field] : undefined;
  if (text) {
    if (operator === '=') return letter => text(letter) === value;
    if (operator === '!=') return letter => text(letter) !== value;
    throw usageError(`--where: \`${field}\` is text and goes with = and != only, not ${operator}`);
  }
  const number = Object.hasOwn(NUMBERS, field) ? NUMBERS[field] : undefined;
  const compare = COMPARE[operator];
  if (!number || !compare) {
    const known = [...Object.keys(TEXTS), ...Object.keys(NUMBERS)].join(', ');
    throw usageError(`--where: there is no \`${field}\``, `There are ${known}.`);
  }
  const wanted = /^\d{1,16}$/.test(value) ? Number(value) : field === 'at' ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(wanted)) {
    const what = field === 'at' ? 'a time such as 2026-11-21T10:00Z' : 'a whole number';
    throw usageError(`--where: \`${field}\` is compared with ${what}, not "${value}"`);
  }
  return letter => compare(number(letter), wanted);
}
