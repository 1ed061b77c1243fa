import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { FrameSplitter } from '../../../core/client/frame-splitter.ts';

function framed(content: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeInt32BE(content.length);
  return Buffer.concat([size, content]);
}

test('frames come out whole however the bytes are cut', () => {
  const random = seededRandom(3);
  const contents = Array.from({ length: 60 }, (_, i) => Buffer.alloc(4 + Math.floor(random.float() * 3000), i));
  const stream = Buffer.concat(contents.map(framed));
  for (const largest of [1, 3, 7, 100, 5000, stream.length]) {
    const splitter = new FrameSplitter();
    const frames: Buffer[] = [];
    for (let at = 0; at < stream.length; ) {
      const take = 1 + Math.floor(random.float() * largest);
      frames.push(...splitter.push(stream.subarray(at, at + take)));
      at += take;
    }
    expect(frames).toEqual(contents);
  }
});

test.each([-1, 0, 3, 0x48545450])('a size of %d is no Kafka frame', size => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(size);
  expect(() => new FrameSplitter().push(bytes)).toThrow(
    expect.objectContaining({ code: 'UNREACHABLE', retriable: false }),
  );
});
