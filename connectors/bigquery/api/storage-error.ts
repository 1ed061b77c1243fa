/**
 * google.cloud.bigquery.storage.v1.StorageError (storage.proto), read from the details of a status: it tells what the
 * gRPC code alone does not. Comes as google.protobuf.Any in band, and as bytes in the trailer when a call ends.
 */

/** By number. */
const CODES = [
  'STORAGE_ERROR_CODE_UNSPECIFIED',
  'TABLE_NOT_FOUND',
  'STREAM_ALREADY_COMMITTED',
  'STREAM_NOT_FOUND',
  'INVALID_STREAM_TYPE',
  'INVALID_STREAM_STATE',
  'STREAM_FINALIZED',
  'SCHEMA_MISMATCH_EXTRA_FIELDS',
  'OFFSET_ALREADY_EXISTS',
  'OFFSET_OUT_OF_RANGE',
  'CMEK_NOT_PROVIDED',
  'INVALID_CMEK_PROVIDED',
  'CMEK_ENCRYPTION_ERROR',
  'KMS_SERVICE_ERROR',
  'KMS_PERMISSION_DENIED',
] as const;

export type StorageCode = (typeof CODES)[number];

/** Trailer key of a StorageError. */
export const STORAGE_ERROR_KEY = 'google.cloud.bigquery.storage.v1.storageerror-bin';
/** Trailer key of a google.rpc.Status with all details. */
export const STATUS_KEY = 'grpc-status-details-bin';

const TYPE_NAME = 'google.cloud.bigquery.storage.v1.StorageError';

/** Field 1 of a StorageError: its code. */
export function storageCodeOf(bytes: Uint8Array): StorageCode | null {
  for (const field of fieldsOf(bytes)) if (field.number === 1) return CODES[field.value] ?? null;
  return null;
}

/** The code among a google.rpc.Status' details (field 3, Any: 1 type url, 2 value). */
export function storageCodeOfStatus(bytes: Uint8Array): StorageCode | null {
  for (const { number, bytes: detail } of fieldsOf(bytes)) {
    if (number !== 3 || !detail) continue;
    const parts = [...fieldsOf(detail)];
    const url = parts.find(part => part.number === 1)?.bytes;
    const value = parts.find(part => part.number === 2)?.bytes;
    if (url && value && Buffer.from(url).toString().endsWith(TYPE_NAME)) return storageCodeOf(value);
  }
  return null;
}

export interface Any {
  type_url?: string | null;
  typeUrl?: string | null;
  value?: Uint8Array | string | null;
}

export function storageCodeOfDetails(details: readonly Any[] | null | undefined): StorageCode | null {
  for (const { type_url: url, typeUrl, value } of details ?? []) {
    if (!(url ?? typeUrl ?? '').endsWith(TYPE_NAME) || !value) continue;
    return storageCodeOf(typeof value === 'string' ? Buffer.from(value, 'base64') : value);
  }
  return null;
}

/** The fields of a message: varints with their value, the others with their bytes. */
function* fieldsOf(bytes: Uint8Array): Generator<{ number: number; value: number; bytes: Uint8Array | null }> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === 0) yield { number, value: varint(), bytes: null };
    else {
      const length = wire === 2 ? varint() : wire === 1 ? 8 : 4;
      yield { number, value: 0, bytes: bytes.subarray(at, at + length) };
      at += length;
    }
  }
}
