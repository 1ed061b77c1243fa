/** What every foreign client can do for the tests, in one form, so that any of them can write what any other reads. */

/** Codecs of the record batch format. */
export type Codec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';
export const CODECS: readonly Codec[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

export interface WriteRecord {
  key: Buffer | null;
  value: Buffer | null;
  headers: [name: string, value: Buffer | null][];
  /** Milliseconds since the epoch. Left out: the client's clock. */
  timestamp?: number;
  partition?: number;
}

export interface ReadRecord {
  partition: number;
  offset: number;
  timestamp: number;
  key: Buffer | null;
  value: Buffer | null;
  headers: [name: string, value: Buffer | null][];
}

export interface WriteOptions {
  codec?: Codec;
  /** Default false. */
  idempotent?: boolean;
  acks?: 1 | -1;
}

/** What a client's own interface cannot express; the tests leave those records out for it. */
export interface Limits {
  /** Keys and header values must be text without control characters. */
  textOnly?: boolean;
  /** Cannot tell null from empty when it writes. */
  noEmpty?: boolean;
  /** Cannot write a header without a value. */
  noNullHeaders?: boolean;
  /** One header of a name only. */
  noRepeatedHeaders?: boolean;
  /** Cannot set the timestamp of a record. */
  noTimestamps?: boolean;
}

export interface Client {
  name: string;
  write: Limits;
  read: Limits;
  codecs: readonly Codec[];
  /** Resolves when all records are acked, in order per partition. */
  produce(topic: string, records: WriteRecord[], options?: WriteOptions): Promise<void>;
  /** Reads `count` records of each topic from its start, in order per partition. */
  consume(topics: { topic: string; count: number }[]): Promise<Map<string, ReadRecord[]>>;
}

/** True where a client with these limits can carry the record. */
export function fits(record: WriteRecord, limits: Limits): boolean {
  const text = (value: Buffer | null): boolean => value === null || /^[\x20-\x7e]*$/.test(value.toString('latin1'));
  const names = record.headers.map(([name]) => name);
  if (limits.textOnly && !(text(record.key) && record.headers.every(([, value]) => text(value)))) return false;
  if (limits.noEmpty && (record.key?.length === 0 || record.value?.length === 0)) return false;
  if (limits.noNullHeaders && record.headers.some(([, value]) => value === null)) return false;
  if (limits.noRepeatedHeaders && new Set(names).size !== names.length) return false;
  return true;
}
