import { compileReader, type ReadStruct } from './compile-reader.ts';
import { compileWriter, type WriteStruct } from './compile-writer.ts';
import { MillstreamError } from '../base/errors.ts';
import { malformed, Reader } from './reader.ts';
import { covers, type Decoded, type Input, type Schema } from './schema.ts';
import { Writer } from './writer.ts';

/*
 * A (schema, version) pair is compiled once into closures; from then on a message costs about as much as its fields.
 */
interface Compiled {
  read: ReadStruct;
  write: WriteStruct;
}
const compiled = new WeakMap<Schema, (Compiled | undefined)[]>();

/**
 * Decodes the body that begins at `offset`. Bytes and records are views of `bytes`. What is left behind the body is
 * ignored, as Kafka does. Throws kind `invalid`: MALFORMED_REQUEST, or UNSUPPORTED_VERSION.
 */
export function decode<S extends Schema>(schema: S, version: number, bytes: Uint8Array, offset = 0): Decoded<S> {
  return decodeFrom(schema, version, new Reader(bytes, offset));
}

/** Encodes a body. Record bytes are chunks of their own, not copied. Throws kind `internal` for what does not fit. */
export function encode<S extends Schema>(schema: S, version: number, body: Input<S>): Uint8Array[] {
  const writer = new Writer();
  encodeInto(schema, version, body, writer);
  return writer.finish();
}

/** As `decode`, from where a reader stands. */
export function decodeFrom<S extends Schema>(schema: S, version: number, reader: Reader): Decoded<S> {
  const { read } = compile(schema, version);
  try {
    return read(reader) as Decoded<S>;
  } catch (error) {
    if (error instanceof MillstreamError) throw error;
    throw malformed(`${schema.name} v${version}: ${error instanceof Error ? error.message : 'unreadable'}`, error);
  }
}

export function encodeInto<S extends Schema>(schema: S, version: number, body: Input<S>, writer: Writer): void {
  compile(schema, version).write(writer, body);
}

function compile(schema: Schema, version: number): Compiled {
  let versions = compiled.get(schema);
  if (!versions) compiled.set(schema, (versions = []));
  const known = versions[version];
  if (known) return known;
  if (!Number.isInteger(version) || !covers(schema.versions, version)) {
    const [from, to] = schema.versions;
    throw new MillstreamError(
      'invalid',
      'UNSUPPORTED_VERSION',
      `${schema.name} has versions ${from} to ${to}, not ${version}`,
    );
  }
  const flexible = version >= schema.flexibleFrom;
  const fresh: Compiled = {
    read: compileReader(schema.fields, version, flexible),
    write: compileWriter(schema.fields, version, flexible),
  };
  versions[version] = fresh;
  return fresh;
}
