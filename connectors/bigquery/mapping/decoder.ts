import { isUtf8 } from 'node:buffer';
import type { Row } from '../../runtime/contract.ts';
import { ColumnError } from '../encode/column-error.ts';
import { parseExact } from '../values/exact-number.ts';

/** Bytes of a record to a value; throws ColumnError with what is wrong with them. */
export type Decoder = (row: Row) => unknown;

export const decodeJson: Decoder = ({ record }) => jsonOf(record.value, 'value');

export function jsonOf(bytes: Uint8Array | null, what: 'key' | 'value'): unknown {
  if (bytes === null) throw new ColumnError('INVALID_VALUE', '', `the record has no ${what}`);
  if (!isUtf8(bytes)) throw new ColumnError('INVALID_VALUE', '', `the ${what} is no UTF-8 text`);
  try {
    return parseExact(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString());
  } catch (error) {
    throw new ColumnError(
      'INVALID_VALUE',
      '',
      `the ${what} is no JSON: ${error instanceof Error ? error.message : ''}`,
    );
  }
}
