import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { linesOf } from '../../../server/cli/lines.ts';

async function lines(chunks: (string | Buffer)[], maxBytes = 1000): Promise<string[]> {
  const found = [];
  for await (const line of linesOf(Readable.from(chunks, { objectMode: true }), maxBytes))
    found.push(line.toString('latin1'));
  return found;
}

describe('the lines of a stream', () => {
  it('are the same however the stream is cut', async () => {
    const text = 'one\n\nthree\r\nfour\u2028\rstill four\nlast';
    const expected = await lines([text]);
    expect(expected).toHaveLength(5);
    expect(await lines([...Buffer.from(text)].map(byte => Buffer.from([byte])))).toEqual(expected);
  });

  it('keep every byte but the newline', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    expect(await lines([bytes])).toEqual([
      bytes.subarray(0, 10).toString('latin1'),
      bytes.subarray(11).toString('latin1'),
    ]);
  });

  it('end with the input, with or without a newline', async () => {
    expect(await lines(['a\nb'])).toEqual(['a', 'b']);
    expect(await lines(['a\nb\n'])).toEqual(['a', 'b']);
    expect(await lines([])).toEqual([]);
  });

  it('have a greatest length', async () => {
    expect(await lines(['x'.repeat(1000), '\n'])).toEqual(['x'.repeat(1000)]);
    await expect(lines(['x'.repeat(600), 'x'.repeat(401)])).rejects.toMatchObject({ code: 'LINE_TOO_LONG' });
  });
});
