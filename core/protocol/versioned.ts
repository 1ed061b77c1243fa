import { decodeFrom, encodeInto } from './codec.ts';
import { Reader } from './reader.ts';
import type { Decoded, Input, Schema } from './schema.ts';
import { Writer } from './writer.ts';

/*
 * Structures that Kafka stores or hands through opaquely carry their version in front: int16 version, body. So do the
 * records of its internal topics and what the members of a consumer group tell each other.
 */

/** Encodes with the version in front, as one piece. */
export function encodeVersioned<S extends Schema>(schema: S, version: number, body: Input<S>): Uint8Array {
  const writer = new Writer();
  writer.int16(version);
  encodeInto(schema, version, body, writer);
  const chunks = writer.finish();
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
}

/**
 * Decodes by the version in front. `newer: 'as-newest'` reads a version above ours as our newest (the consumer
 * protocol only ever adds fields at the end). Kind `invalid`: MALFORMED_REQUEST or UNSUPPORTED_VERSION.
 */
export function decodeVersioned<S extends Schema>(
  schema: S,
  bytes: Uint8Array,
  newer: 'refuse' | 'as-newest' = 'refuse',
): Decoded<S> & { readonly version: number } {
  const reader = new Reader(bytes);
  const version = reader.int16();
  const readAs = newer === 'as-newest' ? Math.min(version, schema.versions[1]) : version;
  return { ...decodeFrom(schema, readAs, reader), version };
}
