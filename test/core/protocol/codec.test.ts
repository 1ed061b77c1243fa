import { describe, expect, test } from 'vitest';
import { decode, encode } from '../../../core/protocol/codec.ts';
import { CreateTopicsRequest } from '../../../core/protocol/messages/admin.ts';
import { MetadataRequest } from '../../../core/protocol/messages/metadata.ts';
import { FetchRequest, FetchResponse, ProduceRequest } from '../../../core/protocol/messages/produce-fetch.ts';
import { array, int32, int64, message, string, struct } from '../../../core/protocol/schema.ts';

/** Hex with spaces between the fields, without them. */
const spaced = (hex: string): string => hex.replaceAll(' ', '');
const join = (chunks: Uint8Array[]): Buffer => Buffer.concat(chunks);
const refusal = (code: string, kind = 'invalid'): object => expect.objectContaining({ kind, code });

function produce(records: Uint8Array | readonly Uint8Array[] | null): Uint8Array[] {
  const topicData = [{ name: 'orders', partitionData: [{ index: 3, records }] }];
  return encode(ProduceRequest, 9, { acks: -1, timeoutMs: 1000, topicData });
}

describe('record bytes', () => {
  test('are passed through as chunks of their own when encoding', () => {
    const first = Buffer.from('first batch');
    const second = Buffer.from('second batch');
    const chunks = produce([first, second]);
    expect(chunks).toContain(first);
    expect(chunks).toContain(second);
    expect(decode(ProduceRequest, 9, join(chunks)).topicData[0]?.partitionData[0]?.records).toEqual(
      Buffer.concat([first, second]),
    );
  });

  test('are views of the input when decoding, also of a plain Uint8Array at an offset', () => {
    const body = join(produce(Buffer.from('batch')));
    const input = new Uint8Array(body.length + 5);
    input.set(body, 5);
    const records = decode(ProduceRequest, 9, input, 5).topicData[0]?.partitionData[0]?.records;
    expect(records?.buffer).toBe(input.buffer);
    expect(Buffer.from(records ?? []).toString()).toBe('batch');
  });

  test('may be null', () => {
    const decoded = decode(ProduceRequest, 9, join(produce(null)));
    expect(decoded.topicData[0]?.partitionData[0]?.records).toBeNull();
  });

  test('may be empty, which is not null', () => {
    const decoded = decode(
      ProduceRequest,
      3,
      join(
        encode(ProduceRequest, 3, {
          acks: 1,
          timeoutMs: 1,
          topicData: [{ name: 't', partitionData: [{ index: 0, records: [] }] }],
        }),
      ),
    );
    expect(decoded.topicData[0]?.partitionData[0]?.records).toHaveLength(0);
  });
});

describe('int64', () => {
  const one = message('One', '0', 'none', { value: int64() });
  const there = (value: number): number => decode(one, 0, join(encode(one, 0, { value }))).value;

  test.each([0, -1, 1, 2 ** 32, -(2 ** 32) - 1, 4294967295, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER])(
    '%d is exact',
    value => expect(there(value)).toBe(value),
  );

  test("Java's Long.MAX_VALUE is read as the nearest number and written back as it was", () => {
    const bytes = Buffer.from('7fffffffffffffff', 'hex');
    expect(decode(one, 0, bytes).value).toBe(2 ** 63);
    expect(join(encode(one, 0, { value: 2 ** 63 }))).toEqual(bytes);
  });

  test("Java's Long.MIN_VALUE stays what it is", () => {
    expect(join(encode(one, 0, { value: -(2 ** 63) })).toString('hex')).toBe('8000000000000000');
  });

  test('a fraction is a defect of ours, not a number to round', () => {
    expect(() => encode(one, 0, { value: 0.5 })).toThrow(refusal('UNWRITABLE_MESSAGE', 'internal'));
  });
});

describe('fields and versions', () => {
  test('a field that the version does not have is decoded as its default', () => {
    const request = decode(MetadataRequest, 0, join(encode(MetadataRequest, 0, { topics: [{ name: 'a' }] })));
    expect(request.allowAutoTopicCreation).toBe(true);
    expect(request.topics).toEqual([{ name: 'a', topicId: '0'.repeat(32) }]);
  });

  test('null is read where the version allows it and refused where it does not', () => {
    const nullTopics = Buffer.from('ffffffff', 'hex');
    expect(decode(MetadataRequest, 1, nullTopics).topics).toBeNull();
    expect(() => decode(MetadataRequest, 0, nullTopics)).toThrow(refusal('MALFORMED_REQUEST'));
    expect(() => encode(MetadataRequest, 0, { topics: null })).toThrow(refusal('UNWRITABLE_MESSAGE', 'internal'));
  });

  test('a version outside the range is refused', () => {
    expect(() => decode(MetadataRequest, 14, new Uint8Array(9))).toThrow(refusal('UNSUPPORTED_VERSION'));
    expect(() => encode(CreateTopicsRequest, 1, { topics: [] })).toThrow(refusal('UNSUPPORTED_VERSION'));
  });

  test('two decoded messages share no arrays that could be changed', () => {
    const bytes = join(encode(MetadataRequest, 1, { topics: [] }));
    const { topics } = decode(MetadataRequest, 1, bytes);
    (topics as unknown[]).push('mine');
    expect(decode(MetadataRequest, 1, bytes).topics).toEqual([]);
  });

  test('a number that its field cannot hold is refused when encoding', () => {
    const body = { acks: 40_000, timeoutMs: 1, topicData: [] };
    expect(() => encode(ProduceRequest, 9, body)).toThrow(refusal('UNWRITABLE_MESSAGE', 'internal'));
  });

  test('a topic id that is not 32 hex digits is refused when encoding', () => {
    const body = { topics: [{ topicId: 'z'.repeat(32), name: null }] };
    expect(() => encode(MetadataRequest, 12, body)).toThrow(refusal('UNWRITABLE_MESSAGE', 'internal'));
  });
});

describe('tagged fields', () => {
  const base = { maxWaitMs: 0, minBytes: 0, topics: [] };

  test('are not written when they hold their default', () => {
    const plain = join(encode(FetchRequest, 15, base));
    const spelled = { ...base, clusterId: null, replicaState: { replicaId: -1, replicaEpoch: -1 } };
    expect(join(encode(FetchRequest, 15, spelled))).toEqual(plain);
  });

  test('are written by rising tag and read back', () => {
    const body = { ...base, replicaState: { replicaId: 4, replicaEpoch: 9 }, clusterId: 'mill' };
    const bytes = join(encode(FetchRequest, 15, body));
    const plain = join(encode(FetchRequest, 15, base));
    // count 2 · tag 0, size 5, "mill" · tag 1, size 13, int32 4, int64 9, no tags
    const tail = spaced('02 0005056d696c6c 010d00000004000000000000000900');
    expect(bytes.toString('hex')).toBe(plain.toString('hex').slice(0, -2) + tail);
    expect(decode(FetchRequest, 15, bytes)).toMatchObject(body);
  });

  test('that nobody knows are skipped', () => {
    const schema = message('One', '0', '0', { name: string() });
    // "ab" · one tag: 99, 3 bytes
    expect(decode(schema, 0, Buffer.from(spaced('036162 01 6303010203'), 'hex'))).toEqual({ name: 'ab' });
  });

  test('that are shorter or longer than their size are skipped to their end or refused', () => {
    const schema = message('One', '0', '0', { leader: int32('0+', { tag: 0, default: -1 }) });
    expect(decode(schema, 0, Buffer.from(spaced('01 0006 00000005 ffff'), 'hex'))).toEqual({ leader: 5 });
    expect(() => decode(schema, 0, Buffer.from(spaced('01 0002 00000005'), 'hex'))).toThrow(
      refusal('MALFORMED_REQUEST'),
    );
  });
});

describe('lengths', () => {
  test('an array count beyond the bytes that are there is refused before anything is built', () => {
    const bytes = Buffer.from('7fffffff00', 'hex');
    expect(() => decode(MetadataRequest, 1, bytes)).toThrow(refusal('MALFORMED_REQUEST'));
    const compact = Buffer.from('ffffffff0f00', 'hex');
    expect(() => decode(MetadataRequest, 9, compact)).toThrow(refusal('MALFORMED_REQUEST'));
  });

  test('a message of a million tiny elements and one is refused, one of a million is not', () => {
    const schema = message('Names', '0', '0', { names: array(string()) });
    const names = (count: number): Buffer => join(encode(schema, 0, { names: new Array<string>(count).fill('') }));
    expect(decode(schema, 0, names(1_000_000)).names).toHaveLength(1_000_000);
    expect(() => decode(schema, 0, names(1_000_001))).toThrow(refusal('MALFORMED_REQUEST'));
  });

  test('a varint without end is refused', () => {
    expect(() => decode(MetadataRequest, 9, Buffer.alloc(40, 0xff))).toThrow(refusal('MALFORMED_REQUEST'));
  });

  test('strings longer than an int16 can count are a defect in old versions and fine in new ones', () => {
    const topics = [{ name: 'x'.repeat(40_000) }];
    expect(() => encode(MetadataRequest, 8, { topics })).toThrow(refusal('UNWRITABLE_MESSAGE', 'internal'));
    expect(decode(MetadataRequest, 9, join(encode(MetadataRequest, 9, { topics }))).topics?.[0]?.name).toHaveLength(
      40_000,
    );
  });

  test('bodies larger than a chunk come out whole, whatever their size', () => {
    const schema = message('Names', '0', '0', { names: array({ name: string(), count: int32() }) });
    for (const count of [1, 30, 31, 32, 33, 200, 5000]) {
      const names = Array.from({ length: count }, (_, i) => ({ name: `topic-${i}`, count: i }));
      expect(decode(schema, 0, join(encode(schema, 0, { names }))).names).toEqual(names);
    }
  });
});

test('a struct that may be null is one byte when it is', () => {
  const schema = message('Cursor', '0', '0', {
    cursor: struct({ at: int32() }, '0+', { nullable: '0+', default: null }),
  });
  expect(join(encode(schema, 0, {})).toString('hex')).toBe('ff00');
  expect(decode(schema, 0, Buffer.from('ff00', 'hex'))).toEqual({ cursor: null });
  expect(decode(schema, 0, join(encode(schema, 0, { cursor: { at: 7 } })))).toEqual({ cursor: { at: 7 } });
});

test('a fetch response carries several partitions with their batches in between', () => {
  const partitions = [0, 1, 2].map(partitionIndex => ({
    partitionIndex,
    errorCode: 0,
    highWatermark: 10,
    records: [Buffer.alloc(partitionIndex * 100, partitionIndex)],
  }));
  const chunks = encode(FetchResponse, 12, { responses: [{ topic: 'orders', partitions }] });
  const back = decode(FetchResponse, 12, join(chunks)).responses[0]?.partitions;
  expect(back?.map(one => one.records)).toEqual(partitions.map(one => one.records[0]));
  expect(back?.[2]?.currentLeader).toEqual({ leaderId: -1, leaderEpoch: -1 });
});
