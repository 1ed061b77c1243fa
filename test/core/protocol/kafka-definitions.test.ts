import { describe, expect, test } from 'vitest';
import { covers, type Field, type Fields, type Schema, type VersionRange } from '../../../core/protocol/schema.ts';
import { type KafkaField, type KafkaMessage, readKafkaDefinitions } from './kafka-definitions.ts';
import { ALL_SCHEMAS, versionsOf } from './schemas.ts';

/*
 * Our table against the definitions in Kafka's jars: every field of every version, in order. KAFKA_LIBS names the folder
 * with the jars; without it this file only says that it was skipped.
 */
const libs = process.env['KAFKA_LIBS'];

/** One field as it is on the wire in one version; both sides are brought to this form. */
interface WireField {
  name: string;
  type: string;
  nullable: boolean;
  tag: number | null;
  /** Of tagged fields: what is not written. */
  default: unknown;
  fields?: WireField[];
}

function rangeOf(text: string | undefined): VersionRange | null {
  const match = /^(\d+)(?:(\+)|-(\d+))?$/.exec(text ?? '');
  if (!match) return null;
  const from = Number(match[1]);
  return [from, match[2] ? Number.POSITIVE_INFINITY : Number(match[3] ?? from)];
}

const lowerFirst = (name: string): string => name.charAt(0).toLowerCase() + name.slice(1);
const byTag = (a: WireField, b: WireField): number => (a.tag ?? -1) - (b.tag ?? -1);

function ofKafka(fields: readonly KafkaField[], message: KafkaMessage, version: number): WireField[] {
  return fields
    .filter(field => covers(rangeOf(field.versions ?? field.taggedVersions), version))
    .map(field => {
      const isArray = field.type.startsWith('[]');
      const element = isArray ? field.type.slice(2) : field.type;
      const isStruct = /^[A-Z]/.test(element);
      const inner = field.fields ?? message.commonStructs?.find(one => one.name === element)?.fields ?? [];
      const tagged = covers(rangeOf(field.taggedVersions), version);
      return {
        name: lowerFirst(field.name),
        type: (isArray ? '[]' : '') + (isStruct ? 'struct' : element),
        nullable: covers(rangeOf(field.nullableVersions), version),
        tag: tagged ? (field.tag ?? null) : null,
        default: tagged && !isStruct && !isArray ? kafkaDefault(field) : undefined,
        ...(isStruct ? { fields: ofKafka(inner, message, version) } : {}),
      };
    })
    .toSorted(byTag);
}

function kafkaDefault(field: KafkaField): unknown {
  const text = field.default === undefined ? undefined : String(field.default);
  if (text === 'null') return null;
  if (field.type === 'bool') return text === 'true';
  if (field.type === 'string') return text ?? '';
  if (field.type === 'uuid') return '0'.repeat(32);
  return Number(text ?? 0);
}

function ofOurs(fields: Fields, version: number): WireField[] {
  return Object.entries(fields)
    .filter(([, field]) => covers(field.versions, version))
    .map(([name, field]) => wireField(name, field, version))
    .toSorted(byTag);
}

function wireField(name: string, field: Field, version: number): WireField {
  const isArray = field.type.kind === 'array';
  const element = field.type.kind === 'array' ? field.type.element.type : field.type;
  const tagged = field.tag !== null && covers(field.tagged, version);
  return {
    name,
    type: (isArray ? '[]' : '') + element.kind,
    nullable: covers(field.nullable, version),
    tag: tagged ? field.tag : null,
    default: tagged && !isArray && element.kind !== 'struct' ? field.default : undefined,
    ...(element.kind === 'struct' ? { fields: ofOurs(element.fields, version) } : {}),
  };
}

/** Where a field stands in both, Kafka's own default must be ours too (absent fields are decoded as it). */
function differentDefaults(kafka: readonly KafkaField[], ours: Fields, message: KafkaMessage, path: string): string[] {
  return kafka.flatMap(field => {
    const name = lowerFirst(field.name);
    const own = ours[name];
    if (!own) return [];
    const wrong: string[] = [];
    if (field.default !== undefined && own.default !== kafkaDefault(field)) wrong.push(`${path}.${name}`);
    const inner = own.type.kind === 'array' ? own.type.element.type : own.type;
    if (inner.kind !== 'struct') return wrong;
    const element = field.type.replace('[]', '');
    const nested = field.fields ?? message.commonStructs?.find(one => one.name === element)?.fields ?? [];
    return [...wrong, ...differentDefaults(nested, inner.fields, message, `${path}.${name}`)];
  });
}

describe.skipIf(!libs)('Kafka 4.3.1 definitions (skipped unless KAFKA_LIBS names the folder with its jars)', () => {
  const definitions = libs ? readKafkaDefinitions(libs) : new Map<string, KafkaMessage>();
  const definitionOf = (schema: Schema): KafkaMessage => {
    const found = definitions.get(schema.name);
    if (!found) throw new Error(`Kafka has no message ${schema.name}`);
    return found;
  };

  test.each(ALL_SCHEMAS.map(schema => ({ name: schema.name, schema })))(
    '$name has the fields of every version',
    ({ schema }) => {
      const kafka = definitionOf(schema);
      expect(schema.flexibleFrom).toBe(rangeOf(kafka.flexibleVersions)?.[0] ?? Number.POSITIVE_INFINITY);
      // The keys of internal records have one layout each; what stands in front of them is their type, not a version.
      const isRecordKey = schema.name.endsWith('Key');
      if (!isRecordKey) expect(schema.versions).toEqual(rangeOf(kafka.validVersions));
      for (const version of versionsOf(schema)) {
        const theirs = ofKafka(kafka.fields, kafka, isRecordKey ? 0 : version);
        expect(ofOurs(schema.fields, version), `version ${version}`).toEqual(theirs);
      }
      expect(differentDefaults(kafka.fields, schema.fields, kafka, schema.name)).toEqual([]);
    },
  );
});
