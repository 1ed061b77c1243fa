import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ApiKey, apiNameOf, decodeResponse, encodeRequest, encodeResponse } from '../../../core/protocol/api.ts';
import { apiOf } from '../../../core/protocol/api-table.ts';
import { decodeFrom } from '../../../core/protocol/codec.ts';
import { Reader } from '../../../core/protocol/reader.ts';

/*
 * Frames (without their size) that went over the wire between Apache Kafka 4.3.1 and its own Java tools, kafkajs 2.2.4,
 * @platformatic/kafka 2.12.1 and our encoder. Read and written again they must be the same bytes.
 */
interface Captured {
  client: string;
  apiKey: ApiKey;
  version: number;
  request: string;
  response: string;
}
const frames = JSON.parse(
  readFileSync(new URL('captured-frames.json', import.meta.url), 'utf8'),
) as readonly Captured[];

function rewriteRequest({ apiKey, version, request }: Captured): string {
  const api = apiOf(apiKey);
  if (!api) throw new Error(`no API ${apiKey}`);
  const reader = new Reader(Buffer.from(request, 'hex'));
  reader.int32();
  const correlationId = reader.int32();
  const length = reader.int16();
  const clientId = length < 0 ? null : reader.text(length);
  if (version >= api.request.flexibleFrom) reader.tags(() => undefined);
  const body = decodeFrom(api.request, version, reader);
  expect(reader.remaining).toBe(0);
  return hexOf(encodeRequest(apiKey, version, correlationId, clientId, body as never));
}

function rewriteResponse({ apiKey, version, response }: Captured): string {
  const { correlationId, body } = decodeResponse(apiKey, version, Buffer.from(response, 'hex'));
  return hexOf(encodeResponse(apiKey, version, correlationId, body as never));
}

/** As hex without the size, after checking it. */
function hexOf(chunks: Uint8Array[]): string {
  const frame = Buffer.concat(chunks);
  expect(frame.readInt32BE(0)).toBe(frame.length - 4);
  return frame.toString('hex', 4);
}

describe.each([...new Set(frames.map(frame => frame.client))])('frames exchanged by %s and Apache Kafka', client => {
  const own = frames.filter(frame => frame.client === client);
  test.each(own.map((frame, i) => ({ api: apiNameOf(frame.apiKey), version: frame.version, frame, i })))(
    '$i: $api v$version reads and writes to the same bytes',
    ({ frame }) => {
      expect(rewriteRequest(frame)).toBe(frame.request);
      expect(rewriteResponse(frame)).toBe(frame.response);
    },
  );
});

test('what a broker answers to an unknown version of ApiVersions is read whatever version was asked for', () => {
  const answer = Buffer.from('00000063002300000001001200000004', 'hex');
  const { correlationId, body } = decodeResponse(18, 4, answer);
  expect(correlationId).toBe(0x63);
  expect(body.errorCode).toBe(35);
  expect(body.apiKeys).toEqual([{ apiKey: 18, minVersion: 0, maxVersion: 4 }]);
});
