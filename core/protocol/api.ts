import {
  type ApiKey,
  APIS,
  apiOf,
  isServed,
  type RequestBody,
  type RequestInput,
  type ResponseBody,
  type ResponseInput,
} from './api-table.ts';
import { decodeFrom, encodeInto } from './codec.ts';
import { ErrorCode } from './error-codes.ts';
import type { ApiVersionsResponseInput } from './messages/metadata.ts';
import { malformed, Reader } from './reader.ts';
import { unwritable, Writer } from './writer.ts';

export { APIS, ApiKey, type ApiName, apiNameOf, isServed } from './api-table.ts';
export type { RequestBody, RequestInput, ResponseBody, ResponseInput } from './api-table.ts';

/*
 * Frames (Kafka protocol guide, "Common Request and Response Structure"; KIP-482 for the flexible headers):
 *   request   int32 size, int16 api key, int16 version, int32 correlation id, int16-sized client id (null allowed),
 *             [flexible: tagged fields], body
 *   response  int32 size, int32 correlation id, [flexible: tagged fields], body
 * The response to ApiVersions never has tagged fields in its header, so that a client can read it whatever its version.
 */
const SIZE_BYTES = 4;
const API_VERSIONS = APIS.ApiVersions.key;

export interface RequestHeader {
  apiVersion: number;
  correlationId: number;
  clientId: string | null;
}

/** A request that our broker serves. `switch (request.apiKey)` narrows the body. */
export type SupportedRequest<K extends ApiKey = ApiKey> = K extends ApiKey
  ? RequestHeader & { supported: true; apiKey: K; body: RequestBody<K> }
  : never;

/** A key or version that we do not serve: answer ApiVersions with `unsupportedApiVersions`, else close the connection. */
export type UnsupportedRequest = RequestHeader & { supported: false; apiKey: number };

/** Decodes a request frame without its size. Byte fields are views of `frame`. Kind `invalid`, MALFORMED_REQUEST. */
export function decodeRequest(frame: Uint8Array): SupportedRequest | UnsupportedRequest {
  const reader = new Reader(frame);
  const apiKey = reader.int16();
  const apiVersion = reader.int16();
  const correlationId = reader.int32();
  if (!isServed(apiKey, apiVersion)) return { supported: false, apiKey, apiVersion, correlationId, clientId: null };
  const api = apiOf(apiKey) as NonNullable<ReturnType<typeof apiOf>>;
  const clientIdBytes = reader.int16();
  const clientId = clientIdBytes < 0 ? null : reader.text(clientIdBytes);
  if (apiVersion >= api.request.flexibleFrom) skipTags(reader);
  const body = decodeFrom(api.request, apiVersion, reader);
  // The table pairs key and schema; the union cannot be told to the compiler from here.
  return { supported: true, apiKey, apiVersion, correlationId, clientId, body } as unknown as SupportedRequest;
}

/** Encodes a response, size first. Record bytes are chunks of their own, not copied. */
export function encodeResponse<K extends ApiKey>(
  apiKey: K,
  apiVersion: number,
  correlationId: number,
  body: ResponseInput<K>,
): Uint8Array[] {
  const { response } = declared(apiKey);
  return framed(writer => {
    writer.int32(correlationId);
    if (apiVersion >= response.flexibleFrom && apiKey !== API_VERSIONS) writer.unsigned(0);
    encodeInto(response, apiVersion, body as Readonly<Record<string, unknown>>, writer);
  });
}

/** Encodes a request, size first. */
export function encodeRequest<K extends ApiKey>(
  apiKey: K,
  apiVersion: number,
  correlationId: number,
  clientId: string | null,
  body: RequestInput<K>,
): Uint8Array[] {
  const { request } = declared(apiKey);
  return framed(writer => {
    writer.int16(apiKey);
    writer.int16(apiVersion);
    writer.int32(correlationId);
    if (clientId === null) writer.int16(-1);
    else writer.text(clientId, false);
    if (apiVersion >= request.flexibleFrom) writer.unsigned(0);
    encodeInto(request, apiVersion, body as Readonly<Record<string, unknown>>, writer);
  });
}

/** The correlation id of a response frame (without its size): which request, and so which version, it answers. */
export function correlationIdOf(responseFrame: Uint8Array): number {
  return new Reader(responseFrame).int32();
}

/** Decodes a response frame without its size. A broker that does not know our ApiVersions version answers in v0. */
export function decodeResponse<K extends ApiKey>(
  apiKey: K,
  apiVersion: number,
  responseFrame: Uint8Array,
): { correlationId: number; body: ResponseBody<K> } {
  const { response } = declared(apiKey);
  const reader = new Reader(responseFrame, 0, Number.POSITIVE_INFINITY);
  const correlationId = reader.int32();
  let version = apiVersion;
  if (apiKey === API_VERSIONS) {
    const errorCode = reader.int16();
    reader.offset -= 2;
    if (errorCode === ErrorCode.UNSUPPORTED_VERSION) version = 0;
  } else if (apiVersion >= response.flexibleFrom) {
    skipTags(reader);
  }
  return { correlationId, body: decodeFrom(response, version, reader) as unknown as ResponseBody<K> };
}

/** KIP-584: level 2 of transactions is KIP-890, where each transaction has an epoch of its own. */
const FEATURES = {
  supportedFeatures: [{ name: 'transaction.version', minVersion: 0, maxVersion: 2 }],
  finalizedFeaturesEpoch: 0,
  finalizedFeatures: [{ name: 'transaction.version', maxVersionLevel: 2, minVersionLevel: 2 }],
};

/** What we serve, as ApiVersions tells it. */
export function apiVersionsResponse(errorCode = 0): ApiVersionsResponseInput {
  const apiKeys: { apiKey: number; minVersion: number; maxVersion: number }[] = [];
  for (const { key } of Object.values(APIS)) {
    const api = declared(key);
    if (!api.served) continue;
    apiKeys.push({ apiKey: key, minVersion: api.reportedMin ?? api.served[0], maxVersion: api.served[1] });
  }
  return { errorCode, apiKeys, ...FEATURES };
}

/** KIP-511: the answer to an ApiVersions version that we do not know is a v0 body with error 35 and the key list. */
export function unsupportedApiVersions(correlationId: number): Uint8Array[] {
  return encodeResponse(API_VERSIONS, 0, correlationId, apiVersionsResponse(ErrorCode.UNSUPPORTED_VERSION));
}

function declared(apiKey: number): NonNullable<ReturnType<typeof apiOf>> {
  const api = apiOf(apiKey);
  if (!api) throw unwritable(`no API with key ${apiKey} is declared`);
  return api;
}

function framed(write: (writer: Writer) => void): Uint8Array[] {
  const writer = new Writer();
  writer.int32(0);
  write(writer);
  const size = writer.sizeBytes - SIZE_BYTES;
  const chunks = writer.finish();
  const first = chunks[0] as Uint8Array;
  first[0] = size >> 24;
  first[1] = size >> 16;
  first[2] = size >> 8;
  first[3] = size;
  return chunks;
}

function skipTags(reader: Reader): void {
  try {
    reader.tags(() => undefined);
  } catch (error) {
    throw malformed('unreadable tagged fields in the header', error);
  }
}
