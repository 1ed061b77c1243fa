import type { Type } from 'avsc';
import { ColumnError } from '../encode/column-error.ts';
import { dateText } from '../values/times.ts';
import type { Decoder } from './decoder.ts';

/*
 * Avro 1.12 binary records. With the registry framing (0, four bytes schema id, big endian, then the record) the writer's
 * schema is looked up by id; without, all records have one schema. Longs stay whole (BigInt where a double does not hold
 * them); logical types become the text that the columns read. A union's value is the value itself.
 */

export interface AvroSchemas {
  /** JSON text of the schema of records without a frame. */
  plain: string | null;
  byId: ReadonlyMap<number, string>;
}

export async function avroDecoder(schemas: AvroSchemas): Promise<Decoder> {
  const { default: avro } = await import('avsc');
  const { Type, types } = avro;

  /** Long as a number where it is a safe one, else a bigint: read little by little from the varint's bytes. */
  // oxlint-disable-next-line no-underscore-dangle -- the library's name for it
  const long = types.LongType.__with({
    fromBuffer: (buffer: Buffer) => narrow(buffer.readBigInt64LE()),
    toBuffer: (value: number | bigint) => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigInt64LE(BigInt(value));
      return buffer;
    },
    fromJSON: (value: unknown) => value as number,
    toJSON: (value: unknown) => value,
    isValid: (value: unknown) => typeof value === 'bigint' || Number.isSafeInteger(value),
    compare: (a: number | bigint, b: number | bigint) => (a < b ? -1 : a > b ? 1 : 0),
  });

  /** A logical type that turns the stored value into text for the column. */
  const textual = (convert: (value: never, attributes: Attributes) => unknown): never =>
    class extends types.LogicalType {
      private readonly attributes: Attributes;

      constructor(attributes: Attributes, options: never) {
        super(attributes as never, options);
        this.attributes = attributes;
      }

      protected override _fromValue(value: unknown): unknown {
        return convert(value as never, this.attributes);
      }

      protected override _toValue(value: unknown): unknown {
        return value;
      }
    } as never;

  const logicalTypes = {
    date: textual(days => dateText(days)),
    'time-millis': textual(ms => timeText(BigInt(ms), 3)),
    'time-micros': textual(micros => timeText(BigInt(micros), 6)),
    'timestamp-millis': textual(ms => instantText(BigInt(ms), 3, 'Z')),
    'timestamp-micros': textual(micros => instantText(BigInt(micros), 6, 'Z')),
    'timestamp-nanos': textual(nanos => instantText(BigInt(nanos), 9, 'Z')),
    'local-timestamp-millis': textual(ms => instantText(BigInt(ms), 3, '')),
    'local-timestamp-micros': textual(micros => instantText(BigInt(micros), 6, '')),
    'local-timestamp-nanos': textual(nanos => instantText(BigInt(nanos), 9, '')),
    decimal: textual((bytes: Uint8Array, { scale = 0 }) => decimalText(bytes, scale)),
  };

  const typeOf = (text: string): Type =>
    Type.forSchema(JSON.parse(text), { registry: { long }, logicalTypes, wrapUnions: false });
  const plain = schemas.plain === null ? null : typeOf(schemas.plain);
  const byId = new Map([...schemas.byId].map(([id, text]) => [id, typeOf(text)]));

  return ({ record: { value } }) => {
    if (value === null) throw new ColumnError('INVALID_VALUE', '', 'the record has no value');
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
    const isFramed = byId.size > 0 && bytes.length >= 5 && bytes[0] === 0;
    const type = isFramed ? byId.get(bytes.readUInt32BE(1)) : plain;
    if (!type) {
      const which = isFramed
        ? `the schema id ${bytes.readUInt32BE(1)} is not in \`schemas\``
        : 'there is no schema frame';
      throw new ColumnError('INVALID_VALUE', '', which);
    }
    try {
      return type.fromBuffer(isFramed ? bytes.subarray(5) : bytes) as unknown;
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new ColumnError('INVALID_VALUE', '', `the value is no record of the Avro schema: ${why}`);
    }
  };
}

interface Attributes {
  scale?: number;
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function timeText(value: bigint, digits: number): string {
  const unit = 10n ** BigInt(digits);
  const seconds = Number(value / unit);
  const pad = (part: number): string => String(part).padStart(2, '0');
  const clock = `${pad(Math.floor(seconds / 3600))}:${pad(Math.floor(seconds / 60) % 60)}:${pad(seconds % 60)}`;
  return `${clock}.${String(value % unit).padStart(digits, '0')}`;
}

function instantText(value: bigint, digits: number, zone: string): string {
  const day = 86_400n * 10n ** BigInt(digits);
  const days = value / day - (value % day < 0n ? 1n : 0n);
  return `${dateText(Number(days))}T${timeText(value - days * day, digits)}${zone}`;
}

/** Two's complement, big endian (Avro: decimal). */
function decimalText(bytes: Uint8Array, scale: number): string {
  const unscaled =
    bytes.length === 0 ? 0n : BigInt.asIntN(bytes.length * 8, BigInt(`0x${Buffer.from(bytes).toString('hex')}`));
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const sign = unscaled < 0n ? '-' : '';
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
