import { Bytes } from './bytes';

/** UTF-8 bytes of a string. */
export function utf8(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

/** A view of a string's UTF-8 bytes. */
export function bytesOf(text: string): Bytes {
  const buffer = String.UTF8.encode(text);
  return new Bytes(changetype<usize>(buffer), buffer.byteLength);
}
