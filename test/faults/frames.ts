/** Requests of every API and version that the server says it serves: valid ones, damaged ones, and noise. */
import { type Random, seededRandom } from '../../core/base/random.ts';
import { type ApiKey, encodeRequest } from '../../core/protocol/api.ts';
import { apiOf } from '../../core/protocol/api-table.ts';
import { covers, type Field, type Fields } from '../../core/protocol/schema.ts';
import { encodeBatch } from '../servers/wire-batch.ts';

export interface ServedVersion {
  key: ApiKey;
  version: number;
}

/** The topics that fuzzed requests name; they exist. Others, such as the healthy client's, are never named. */
export const TOPICS = ['fuzz-a', 'fuzz-b', 'fuzz-c'];
export const FUZZ_PARTITIONS = 3;
const GROUPS = ['group-a', 'group-b', ''];

export class Frames {
  readonly #served: readonly ServedVersion[];
  readonly random: Random;

  constructor(served: readonly ServedVersion[], seed: number) {
    this.#served = served;
    this.random = seededRandom(seed);
  }

  upTo(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.upTo(from.length)] as T;
  }

  /** A whole frame, size first, that a client could have sent. */
  valid({ key, version }: ServedVersion = this.#pick(this.#served)): Buffer {
    const fields = apiOf(key)?.request.fields ?? {};
    const body = this.#body(fields, version);
    return Buffer.concat(encodeRequest(key, version, this.upTo(1000), 'fuzz', body as never));
  }

  /** A valid frame with a few bytes changed, cut, repeated or put together with another; mostly with a fitting size. */
  damaged(): Buffer {
    let frame = this.valid();
    for (let i = this.upTo(4); i >= 0; i--) {
      const at = 4 + this.upTo(Math.max(1, frame.length - 4));
      const to = Math.min(frame.length, at + 1 + this.upTo(16));
      const what = this.upTo(8);
      if (what <= 1) frame[at] = (frame[at] ?? 0) ^ (1 << this.upTo(8));
      else if (what === 2) frame.fill(0xff, at, Math.min(at + 4, frame.length));
      else if (what === 3) frame.fill(0x7f, at, Math.min(at + 1 + this.upTo(4), frame.length));
      else if (what === 4) frame.fill(0, at, to);
      else if (what === 5) frame = frame.subarray(0, at);
      else if (what === 6) frame = Buffer.concat([frame.subarray(0, to), frame.subarray(at)]);
      else frame = Buffer.concat([frame.subarray(0, at), this.valid().subarray(4)]);
    }
    frame = Buffer.from(frame);
    if (frame.length >= 4 && this.upTo(10) > 0) frame.writeInt32BE(frame.length - 4, 0);
    return frame;
  }

  /** Random bytes: bare, behind a fitting size, or behind the header of an API that is served. */
  noise(): Buffer {
    const bytes = this.random.fill(Buffer.alloc(1 + this.upTo(500))) as Buffer;
    const what = this.upTo(4);
    if (what === 0) return bytes;
    const frame = Buffer.concat([Buffer.alloc(4), bytes]);
    frame.writeInt32BE(bytes.length, 0);
    if (what >= 2 && frame.length >= 8) {
      const { key, version } = this.#pick(this.#served);
      frame.writeInt16BE(key, 4);
      frame.writeInt16BE(version, 6);
      // A readable client id, so that the noise gets to the body.
      if (frame.length >= 14) frame.writeInt16BE(0, 12);
    }
    return frame;
  }

  #body(fields: Fields, version: number): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(fields).map(([name, field]) => [
        name,
        covers(field.versions, version) ? this.#value(name, field, version) : field.default,
      ]),
    );
  }

  #value(name: string, field: Field, version: number): unknown {
    if (covers(field.nullable, version) && this.upTo(3) === 0) return null;
    const { type } = field;
    switch (type.kind) {
      case 'bool':
        return this.upTo(2) === 1;
      case 'string':
        return this.#text(name);
      case 'uuid':
        return (this.random.fill(Buffer.alloc(16)) as Buffer).toString('hex');
      case 'records':
        return this.#records();
      case 'bytes':
        return this.random.fill(Buffer.alloc(this.upTo(60)));
      case 'array':
        return Array.from({ length: this.upTo(4) }, () => this.#value(name, type.element, version));
      case 'struct':
        return this.#body(type.fields, version);
      case 'float64':
        return this.random.float();
      case 'int64':
        return this.#pick([-2, -1, 0, 1, 5, 100, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]);
      case 'int8':
        return this.#pick([-1, 0, 1, 2, 127, -128]);
      case 'int16':
      case 'uint16':
        return this.#pick([type.kind === 'int16' ? -1 : 0, 0, 1, 2, 3, 255, 32_767]);
      case 'int32':
      case 'uint32':
        // A long wait or session would hold answers back for as long; a client may ask for that, but not here.
        if (/wait|timeout/i.test(name)) return this.#pick([0, 1, 20, 6000]);
        return this.#pick([type.kind === 'int32' ? -1 : 0, 0, 0, 1, 1, 2, 3, 1000, 65_536, 2 ** 31 - 1]);
    }
  }

  #text(name: string): string {
    if (/topic/i.test(name) || name === 'name' || name === 'resourceName') return this.#pick(TOPICS);
    if (/group|coordinator|^key$/i.test(name)) return this.#pick(GROUPS);
    if (/protocol/i.test(name)) return this.#pick(['consumer', 'range', '']);
    return this.#pick(['', 'x', 'member-1', 'é漢🎏', '/../..', 'x'.repeat(this.upTo(400))]);
  }

  #records(): Buffer {
    const values = Array.from(
      { length: 1 + this.upTo(4) },
      () => this.random.fill(Buffer.alloc(this.upTo(100))) as Buffer,
    );
    const idempotent = this.upTo(2) === 0;
    return encodeBatch({
      values,
      ...(idempotent
        ? { producerId: BigInt(this.upTo(20)), producerEpoch: this.upTo(3), baseSequence: this.upTo(50) }
        : {}),
    });
  }
}
