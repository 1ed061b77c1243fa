import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { FrameReader } from '../../../server/api/kafka-frames.ts';

const framed = (body: Buffer): Buffer => {
  const size = Buffer.alloc(4);
  size.writeInt32BE(body.length);
  return Buffer.concat([size, body]);
};

function read(chunks: Buffer[], maxBytes = 1e8): Buffer[] {
  const frames: Buffer[] = [];
  const reader = new FrameReader(maxBytes, frame => frames.push(Buffer.from(frame)));
  for (const chunk of chunks) reader.push(chunk);
  return frames;
}

describe('FrameReader', () => {
  it('finds the same frames however the stream is cut', () => {
    const random = seededRandom(7);
    const bodies = [0, 1, 3, 4, 5, 100, 70_000, 2, 1_100_000, 9].map(size => {
      return Buffer.alloc(size, `${size} and ${random.float()}`);
    });
    const stream = Buffer.concat(bodies.map(framed));
    for (const longest of [5_000_000, 65_536, 4099]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < stream.length; ) {
        const end = at + 1 + Math.floor(random.float() * longest);
        chunks.push(stream.subarray(at, end));
        at = end;
      }
      expect(read(chunks)).toEqual(bodies);
    }
    const small = Buffer.concat(bodies.slice(0, 6).map(framed));
    expect(read(Array.from(small, byte => Buffer.of(byte)))).toEqual(bodies.slice(0, 6));
  });

  it('gives a big frame a buffer of exactly its size, and none the memory that it came in', () => {
    const seen: Buffer[] = [];
    const reader = new FrameReader(1e8, frame => seen.push(frame));
    const big = framed(Buffer.alloc(500_000, 1));
    const chunk = Buffer.alloc(65_536);
    for (let at = 0; at < big.length; at += chunk.length) {
      expect(reader.idle).toBe(at === 0);
      reader.push(chunk.subarray(0, big.copy(chunk, 0, at)));
    }
    expect(reader.idle).toBe(true);
    reader.push(chunk.subarray(0, framed(Buffer.from('abc')).copy(chunk)));
    chunk.fill(0);
    expect(seen.map(frame => frame.length)).toEqual([500_000, 3]);
    expect([seen[0]?.buffer.byteLength, seen[0]?.every(byte => byte === 1), seen[1]?.toString()]).toEqual([
      500_000,
      true,
      'abc',
    ]);
  });

  it('refuses sizes that are negative or too big, before it allocates', () => {
    const size = (value: number): Buffer => {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32BE(value);
      return bytes;
    };
    expect(() => read([size(-1)])).toThrow(/-1 bytes/);
    expect(() => read([size(1001)], 1000)).toThrow(/at most 1000/);
    expect(() => read([size(1000)], 1000)).not.toThrow();
  });
});
