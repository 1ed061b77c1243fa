import { expect, test } from 'vitest';
import { MillstreamError } from '../../../core/base/errors.ts';
import { type Random, seededRandom } from '../../../core/base/random.ts';
import { type ApiKey, APIS, decodeRequest, decodeResponse, encodeRequest } from '../../../core/protocol/api.ts';
import type { Api } from '../../../core/protocol/api-table.ts';
import { randomBody, randomBytes } from './random-body.ts';

const FRAMES = 20_000;
/** A decoded object or array counts 1 and each of its fields 1: the most that a byte of input may cost. */
const MOST_PER_BYTE = 12;

const served = Object.values(APIS as Record<string, Api>).flatMap(api => {
  const [from, to] = api.served ?? [1, 0];
  return Array.from({ length: to - from + 1 }, (_, i) => ({ api, version: from + i }));
});

function validFrame(random: Random): Buffer {
  const { api, version } = served[Math.floor(random.float() * served.length)] as (typeof served)[number];
  const body = randomBody(random, api.request.fields, version);
  return Buffer.concat(encodeRequest(api.key as ApiKey, version, 7, 'fuzz', body as never)).subarray(4);
}

function mutated(random: Random, frame: Buffer): Buffer {
  const upTo = (limit: number): number => Math.floor(random.float() * limit);
  const bytes = Buffer.from(frame);
  for (let i = upTo(6); i >= 0; i--) {
    const at = 8 + upTo(Math.max(1, bytes.length - 8));
    const what = upTo(4);
    if (what === 0) bytes[at] = upTo(256);
    else if (what === 1) bytes.fill(0xff, at, Math.min(at + 4, bytes.length));
    else if (what === 2) bytes[at] = 0x7f;
    else bytes[at] = (bytes[at] ?? 0) ^ (1 << upTo(8));
  }
  return upTo(3) === 0 ? bytes.subarray(0, upTo(bytes.length)) : bytes;
}

/** Random bytes behind a header that names a served API. */
function noise(random: Random): Buffer {
  const bytes = randomBytes(random, 8 + Math.floor(random.float() * 400));
  const { api, version } = served[Math.floor(random.float() * served.length)] as (typeof served)[number];
  bytes.writeInt16BE(api.key, 0);
  bytes.writeInt16BE(version, 2);
  return bytes;
}

function weightOf(value: unknown): number {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return 1;
  return Object.values(value).reduce<number>((sum, one) => sum + weightOf(one), 1);
}

/** Decodes; a refusal must be the one kind that a listener acts on. */
function outcome(decode: () => unknown): unknown {
  try {
    return decode();
  } catch (error) {
    expect(error).toBeInstanceOf(MillstreamError);
    expect((error as MillstreamError).kind).toBe('invalid');
    expect((error as MillstreamError).code).toBe('MALFORMED_REQUEST');
    return null;
  }
}

test(`${FRAMES} random and damaged requests are decoded or refused, and cost no more than their bytes`, () => {
  const random = seededRandom(20_261_121);
  let refused = 0;
  for (let i = 0; i < FRAMES; i++) {
    const frame = i % 2 === 0 ? noise(random) : mutated(random, validFrame(random));
    const request = outcome(() => decodeRequest(frame));
    if (request === null) refused++;
    else expect(weightOf(request)).toBeLessThanOrEqual(40 + MOST_PER_BYTE * frame.length);
  }
  expect(refused).toBeGreaterThan(FRAMES / 4);
  expect(refused).toBeLessThan(FRAMES);
});

test('random responses are decoded or refused', () => {
  const random = seededRandom(4);
  for (let i = 0; i < 4000; i++) {
    const { api, version } = served[i % served.length] as (typeof served)[number];
    outcome(() => decodeResponse(api.key as ApiKey, version, randomBytes(random, 4 + (i % 300))));
  }
});

test('a frame cut short at any byte is refused or says that the API is not served', () => {
  const random = seededRandom(9);
  for (let round = 0; round < 60; round++) {
    const frame = validFrame(random);
    for (let end = 0; end < Math.min(frame.length, 200); end++) {
      expect(outcome(() => decodeRequest(frame.subarray(0, end)))).toBeNull();
    }
  }
});
