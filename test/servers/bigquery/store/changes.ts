/**
 * Change data capture: rows with `_CHANGE_TYPE` replace or remove the row with the same primary key. Sections of
 * `_CHANGE_SEQUENCE_NUMBER` compare as hexadecimal numbers, from the left; a change with a lower number than the last
 * one is passed over, equal or higher wins. Source: GCP "Stream table updates with change data capture".
 */
import type { Column, Value } from '../model/schema.ts';
import { RowRefused } from '../proto/read.ts';
import type { Plan } from '../proto/plan.ts';
import type { Table } from './table.ts';

const SEQUENCE = /^[0-9a-f]{1,16}(\/[0-9a-f]{1,16}){0,3}$/i;

/** @throws RowRefused */
export function checkChange(plan: Plan, row: readonly Value[], table: Table): void {
  if (!plan.change) return;
  const type = row[plan.change.type];
  if (type !== 'UPSERT' && type !== 'DELETE') {
    throw new RowRefused(`Invalid _CHANGE_TYPE value: ${printKey(type)}. Must be UPSERT or DELETE`);
  }
  const sequence = plan.change.sequence < 0 ? null : row[plan.change.sequence];
  if (sequence != null && !SEQUENCE.test(sequence as string)) {
    throw new RowRefused(
      `Invalid _CHANGE_SEQUENCE_NUMBER value: ${printKey(sequence)}. Must be 1 to 4 sections of up to 16 hexadecimal digits, separated by /`,
    );
  }
  for (const [i, column] of plan.columns.entries()) {
    if (row[i] !== null) continue;
    const key = table.primaryKey.includes(column.key);
    if (key || (type === 'UPSERT' && column.mode === 'REQUIRED'))
      throw new RowRefused(`Missing required field: ${column.name}`);
  }
}

/** The rows that a reader sees, in the order in which their keys were first written. */
export function latestRows(table: Table): Map<string, { columns: readonly Column[]; row: readonly Value[] }> {
  const seen = new Map<
    string,
    { sequence: string; entry: { columns: readonly Column[]; row: readonly Value[] } | null }
  >();
  let plain = 0;
  for (const chunk of table.rows.chunks) {
    const keys = table.primaryKey.map(key => chunk.columns.findIndex(column => column.key === key));
    const type = chunk.columns.findIndex(column => column.name === '_CHANGE_TYPE');
    const sequence = chunk.columns.findIndex(column => column.name === '_CHANGE_SEQUENCE_NUMBER');
    for (let i = 0; i < chunk.count; i++) {
      const row = chunk.read(i);
      const entry = { columns: chunk.columns, row };
      const key = keys.map(at => printKey(row[at])).join('\0');
      // A plain append to a table with a key: keys are not enforced, so a second row with the key stands beside it.
      if (type < 0) {
        seen.set(seen.has(key) ? `${key}\0plain ${plain++}` : key, { sequence: '', entry });
        continue;
      }
      const order = normalize(sequence < 0 ? null : row[sequence]);
      const last = seen.get(key);
      if (last && order < last.sequence) continue;
      seen.set(key, { sequence: order, entry: row[type] === 'DELETE' ? null : entry });
    }
  }
  const out = new Map<string, { columns: readonly Column[]; row: readonly Value[] }>();
  for (const [key, { entry }] of seen) if (entry) out.set(key, entry);
  return out;
}

function printKey(value: Value | undefined): string {
  if (Buffer.isBuffer(value)) return value.toString('hex');
  return value === null || typeof value === 'object' || value === undefined ? 'NULL' : String(value);
}

/** Sections padded to 16 digits, so that text order is number order; missing sections are the lowest. */
const normalize = (value: Value | undefined): string =>
  typeof value === 'string'
    ? value
        .toLowerCase()
        .split('/')
        .map(section => section.padStart(16, '0'))
        .join('/')
    : '';
