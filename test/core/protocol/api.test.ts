import { expect, test } from 'vitest';
import {
  ApiKey,
  APIS,
  apiNameOf,
  apiVersionsResponse,
  correlationIdOf,
  decodeRequest,
  decodeResponse,
  encodeRequest,
  encodeResponse,
  isServed,
  unsupportedApiVersions,
} from '../../../core/protocol/api.ts';

const frameOf = (chunks: Uint8Array[]): Buffer => Buffer.concat(chunks).subarray(4);
/** Hex with spaces between the fields, without them. */
const spaced = (hex: string): string => hex.replaceAll(' ', '');

test('a request narrows to its body by its key', () => {
  const body = { groupId: 'g', generationId: 3, memberId: 'm' };
  const request = decodeRequest(frameOf(encodeRequest(ApiKey.Heartbeat, 4, 11, 'client', body)));
  if (!request.supported || request.apiKey !== ApiKey.Heartbeat) throw new Error('not a heartbeat');
  expect(request.body.generationId).toBe(3);
  expect(request).toMatchObject({ apiVersion: 4, correlationId: 11, clientId: 'client' });
});

test.each([1, 4])('a null client id is read with a header of version %d', version => {
  const body = { groupId: 'g', generationId: 3, memberId: 'm' };
  const request = decodeRequest(frameOf(encodeRequest(ApiKey.Heartbeat, version, 1, null, body)));
  expect(request.clientId).toBeNull();
});

test.each([
  ['an unknown key', 999, 0],
  ['a version above the served ones', ApiKey.Fetch, 18],
  ['a version below the served ones', ApiKey.Produce, 2],
])('%s is handed to the listener as unsupported, with what it needs to answer', (_, apiKey, version) => {
  const frame = Buffer.alloc(8);
  frame.writeInt16BE(apiKey, 0);
  frame.writeInt16BE(version, 2);
  frame.writeInt32BE(77, 4);
  expect(decodeRequest(frame)).toMatchObject({ supported: false, apiKey, apiVersion: version, correlationId: 77 });
});

test('an unknown version of ApiVersions is answered in version 0 with error 35 and the key list', () => {
  const { correlationId, body } = decodeResponse(ApiKey.ApiVersions, 0, frameOf(unsupportedApiVersions(5)));
  expect(correlationId).toBe(5);
  expect(body.errorCode).toBe(35);
  expect(body.apiKeys).toContainEqual({ apiKey: ApiKey.Fetch, minVersion: 4, maxVersion: 12 });
});

test('Produce is reported from version 0 and served from 3', () => {
  const reported = apiVersionsResponse().apiKeys.find(api => api.apiKey === ApiKey.Produce);
  expect(reported).toEqual({ apiKey: 0, minVersion: 0, maxVersion: 12 });
  expect([isServed(0, 2), isServed(0, 3), isServed(0, 12), isServed(0, 13)]).toEqual([false, true, true, false]);
});

test('the header of an ApiVersions response never has tagged fields', () => {
  const frame = frameOf(encodeResponse(ApiKey.ApiVersions, 4, 9, { errorCode: 0, apiKeys: [] }));
  // correlation id · error code · compact array of none · throttle time · no tags
  expect(frame.toString('hex')).toBe(spaced('00000009 0000 01 00000000 00'));
});

test('any other flexible response has them', () => {
  const frame = frameOf(encodeResponse(ApiKey.Heartbeat, 4, 9, { errorCode: 0 }));
  expect(frame.toString('hex')).toBe(spaced('00000009 00 00000000 0000 00'));
  expect(correlationIdOf(frame)).toBe(9);
});

test('every served version can be read and written, and every key has one name', () => {
  const keys = Object.values(APIS).map(api => api.key);
  expect(new Set(keys).size).toBe(keys.length);
  for (const [name, api] of Object.entries(APIS)) {
    expect(apiNameOf(api.key)).toBe(name);
    expect(api.request.versions).toEqual(api.response.versions);
    const served: readonly [number, number] | null = api.served;
    if (!served) continue;
    expect(served[0]).toBeGreaterThanOrEqual(api.request.versions[0]);
    expect(served[1]).toBeLessThanOrEqual(api.request.versions[1]);
  }
});
