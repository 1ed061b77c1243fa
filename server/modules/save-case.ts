import { isUtf8 } from 'node:buffer';
import { appendFileSync } from 'node:fs';
import type { NewRecord } from '../../core/engine/records.ts';
import type { RecordResult } from './run-module.ts';

/** A record and what became of it as the text of a `[[case]]`. */
export function caseText(name: string, config: unknown, record: NewRecord, result: RecordResult): string {
  const { key, value, headers = [], timestamp } = record;
  const lines = ['[[case]]', `name   = ${quoted(name)}`];
  if (Object.keys(config ?? {}).length > 0) lines.push(`config = ${inline(config)}`);
  if (value === null) lines.push('tombstone = true');
  else if (isUtf8(value)) lines.push(`input  = ${quoted(text(value))}`);
  else lines.push(`input_base64 = ${quoted(Buffer.from(value).toString('base64'))}`);
  if (key !== null) lines.push(`key    = ${quoted(text(key))}`);
  if (headers.length > 0) lines.push(`headers = ${inline(textsOf(headers))}`);
  lines.push(`timestamp = ${timestamp}`);
  const outputs = [...new Set(result.emitted.map(({ output }) => output))].filter(each => each !== 'default');
  if (outputs.length > 0) lines.push(`outputs = ${inline(['default', ...outputs])}`);
  if (result.failed) lines.push(`fail   = { code = ${quoted(result.failed.code)} }`);
  else {
    const wanted = result.emitted.map(({ output, record: out }) => ({
      ...(output === 'default' ? {} : { output }),
      ...(out.value === null ? { tombstone: true } : { value: text(out.value) }),
      ...(out.headers.length > 0 ? { headers: textsOf(out.headers) } : {}),
    }));
    lines.push(`expect = ${inline(wanted)}`);
  }
  return `\n${lines.join('\n')}\n`;
}

export function saveCase(file: string, ...of: Parameters<typeof caseText>): void {
  appendFileSync(file, caseText(...of));
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

function textsOf(headers: NonNullable<NewRecord['headers']>): Record<string, string> {
  return Object.fromEntries(headers.map(([name, value]) => [name, value === null ? '' : text(value)]));
}

/** A TOML string: literal where that is possible (TOML 1.0, "String"). */
function quoted(value: string): string {
  if (!/['\p{Cc}]/u.test(value)) return `'${value}'`;
  return JSON.stringify(value).replaceAll('\u007f', '\\u007f');
}

/** A TOML value on one line; what JSON has and TOML has not (null) is left out. */
function inline(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value))
    return `[${value
      .filter(each => each !== null)
      .map(inline)
      .join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, each]) => each !== null && each !== undefined);
    return `{ ${members.map(([key, each]) => `${quoted(key)} = ${inline(each)}`).join(', ')} }`;
  }
  return String(value);
}
