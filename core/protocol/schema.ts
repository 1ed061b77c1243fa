/*
 * How a Kafka message is declared. One table entry serves all versions in both directions; field names are those of
 * Kafka's message definitions in camelCase, version ranges are written as there: '3+' (from 3 on), '0-12', '4'.
 *
 *   export const HeartbeatResponse = message('HeartbeatResponse', '0-4', '4+', {
 *     throttleTimeMs: int32('1+'),
 *     errorCode: int16(),
 *   });
 *   export type HeartbeatResponse = Decoded<typeof HeartbeatResponse>;
 *
 * Decoded bodies always have all fields: one that its version does not carry holds its default. Bodies to encode may
 * leave out every field that has a default of its own or is not in all versions; fields outside the version are ignored.
 */

/** Inclusive; an open end is Infinity. */
export type VersionRange = readonly [from: number, to: number];

export type ScalarKind =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'float64'
  | 'uuid'
  | 'string'
  | 'bytes'
  | 'records';

export type FieldType =
  | { readonly kind: ScalarKind }
  | { readonly kind: 'struct'; readonly fields: Fields }
  | { readonly kind: 'array'; readonly element: Field };

/** One declared field. The `$` members carry types only and are never there at run time. */
export interface Field<Out = unknown, In = unknown, Optional extends boolean = boolean> {
  readonly type: FieldType;
  readonly versions: VersionRange;
  readonly nullable: VersionRange | null;
  /** What decoding yields, and encoding writes, where the field is not given. */
  readonly default: unknown;
  /** Set when the field is tagged (KIP-482) in the versions `tagged`. */
  readonly tag: number | null;
  readonly tagged: VersionRange | null;
  readonly $out: Out;
  readonly $in: In;
  readonly $optional: Optional;
}

export type Fields = Readonly<Record<string, Field>>;

export interface Schema<F extends Fields = Fields> {
  readonly name: string;
  readonly versions: VersionRange;
  /** First version with compact lengths and tagged fields; Infinity when there is none. */
  readonly flexibleFrom: number;
  readonly fields: F;
}

type Simplify<T> = { [K in keyof T]: T[K] };
type OptionalKeys<F extends Fields> = { [K in keyof F]: F[K]['$optional'] extends true ? K : never }[keyof F];
type OutOf<F extends Fields> = { readonly [K in keyof F]: F[K]['$out'] };
type InOf<F extends Fields> = Simplify<
  { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: F[K]['$in'] } & {
    readonly [K in OptionalKeys<F>]?: F[K]['$in'];
  }
>;

/** What decoding a message yields: every field is there. */
export type Decoded<S extends Schema> = OutOf<S['fields']>;
/** What encoding a message takes: fields with a default, or not in all versions, may be left out. */
export type Input<S extends Schema> = InOf<S['fields']>;

export interface FieldOptions<T> {
  /** Versions in which null is allowed. */
  nullable?: string;
  default?: T | null;
  /** The tag in versions that have the field as a tagged one. */
  tag?: number;
  /** Versions in which the field is tagged; left out: all of its versions. */
  tagged?: string;
}

type OrNull<T, O> = O extends { nullable: string } ? T | null : T;
type MayBeLeftOut<V extends string, O> = V extends '0+' ? (O extends { default: unknown } ? true : false) : true;

export const ZERO_UUID = '0'.repeat(32);

const scalar =
  <Out, In = Out>(kind: ScalarKind, zero: Out | null) =>
  <const V extends string = '0+', const O extends FieldOptions<Out> = Record<never, never>>(
    versions?: V,
    options?: O,
  ): Field<OrNull<Out, O>, OrNull<In, O>, MayBeLeftOut<V, O>> =>
    field({ kind }, zero, versions, options);

export const bool = scalar<boolean>('bool', false);
export const int8 = scalar<number>('int8', 0);
export const int16 = scalar<number>('int16', 0);
export const uint16 = scalar<number>('uint16', 0);
export const int32 = scalar<number>('int32', 0);
export const uint32 = scalar<number>('uint32', 0);
/** A number: exact within the safe integers, else the nearest one. */
export const int64 = scalar<number>('int64', 0);
export const float64 = scalar<number>('float64', 0);
/** 32 lower-case hex digits without dashes. */
export const uuid = scalar<string>('uuid', ZERO_UUID);
export const string = scalar<string>('string', '');
/** Decoded as a view of the input. */
export const bytes = scalar<Uint8Array>('bytes', new Uint8Array(0));
/** Record batches: decoded as a view of the input; encoded from one or several pieces without copying them. */
export const records = scalar<Uint8Array, Uint8Array | readonly Uint8Array[]>('records', null);

/** An array of structs (given their fields) or of scalars (given the element). */
export function array<
  const E extends Field | Fields,
  const V extends string = '0+',
  const O extends FieldOptions<never> = Record<never, never>,
>(
  element: E,
  versions?: V,
  options?: O,
): Field<OrNull<readonly ElementOut<E>[], O>, OrNull<readonly ElementIn<E>[], O>, MayBeLeftOut<V, O>> {
  const inner = isField(element) ? element : struct(element);
  return field({ kind: 'array', element: inner }, EMPTY, versions, options);
}

type ElementOut<E> = E extends Field ? E['$out'] : E extends Fields ? OutOf<E> : never;
type ElementIn<E> = E extends Field ? E['$in'] : E extends Fields ? InOf<E> : never;

const EMPTY: readonly never[] = Object.freeze([]);

/** A struct inside a message. Its default is the struct of its fields' defaults, or null where `default: null` says so. */
export function struct<
  const F extends Fields,
  const V extends string = '0+',
  const O extends FieldOptions<never> = Record<never, never>,
>(fields: F, versions?: V, options?: O): Field<OrNull<OutOf<F>, O>, OrNull<InOf<F>, O>, MayBeLeftOut<V, O>> {
  return field({ kind: 'struct', fields }, defaultsOf(fields), versions, options);
}

/** Declares a message: the versions that can be read and written, and from which on they are flexible ('none': never). */
export function message<const F extends Fields>(
  name: string,
  versions: string,
  flexible: string,
  fields: F,
): Schema<F> {
  return {
    name,
    versions: parseRange(versions),
    flexibleFrom: flexible === 'none' ? Number.POSITIVE_INFINITY : parseRange(flexible)[0],
    fields,
  };
}

export function defaultsOf(fields: Fields): Readonly<Record<string, unknown>> {
  return Object.freeze(Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, one.default])));
}

export function covers(range: VersionRange | null, version: number): boolean {
  return range !== null && version >= range[0] && version <= range[1];
}

function isField(value: Field | Fields): value is Field {
  return Array.isArray((value as Field).versions);
}

function field<Out, In, Optional extends boolean>(
  type: FieldType,
  zero: unknown,
  versions = '0+',
  options: FieldOptions<unknown> = {},
): Field<Out, In, Optional> {
  const range = parseRange(versions);
  const declared: Omit<Field, '$out' | '$in' | '$optional'> = {
    type,
    versions: range,
    nullable: options.nullable === undefined ? null : parseRange(options.nullable),
    default: options.default === undefined ? zero : options.default,
    tag: options.tag ?? null,
    tagged: options.tag === undefined ? null : options.tagged === undefined ? range : parseRange(options.tagged),
  };
  return declared as Field<Out, In, Optional>;
}

function parseRange(text: string): VersionRange {
  const match = /^(\d+)(\+|-(\d+))?$/.exec(text);
  if (!match) throw new RangeError(`'${text}' is not a version range`);
  const from = Number(match[1]);
  if (match[2] === '+') return [from, Number.POSITIVE_INFINITY];
  return [from, match[3] === undefined ? from : Number(match[3])];
}
