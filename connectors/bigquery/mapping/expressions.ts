import type { Clock } from '../../../core/base/clock.ts';
import { type Random, uuidBytes } from '../../../core/base/random.ts';

/** Expressions that default_values may hold: evaluated here, once a row, because neither API takes SQL in a row. */

export interface ExpressionContext {
  clock: Clock;
  random: Random;
}

const isoNow = ({ clock }: ExpressionContext): string => new Date(clock.now()).toISOString();

export const EXPRESSIONS: Readonly<Record<string, (context: ExpressionContext) => unknown>> = {
  'CURRENT_TIMESTAMP()': isoNow,
  'CURRENT_DATETIME()': context => isoNow(context).slice(0, -1),
  'CURRENT_DATE()': context => isoNow(context).slice(0, 10),
  'CURRENT_TIME()': context => isoNow(context).slice(11, -1),
  'GENERATE_UUID()': ({ random }) => uuidText(uuidBytes(random)),
};

function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** The default of one column: its literal, or what makes its value. */
export function defaultOf(given: unknown): (context: ExpressionContext) => unknown {
  const expression = typeof given === 'string' ? EXPRESSIONS[given.toUpperCase()] : undefined;
  return expression ?? (() => given);
}
