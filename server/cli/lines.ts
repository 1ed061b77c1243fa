import { MillstreamError } from '../../core/base/errors.ts';

const NEWLINE = 10;

/**
 * The lines of a stream, byte for byte: only the newline is taken off, and what follows the last one is a line too if
 * there is anything. Kind `invalid`, code LINE_TOO_LONG past `maxBytes`, so that no input fills the memory.
 */
export async function* linesOf(stream: AsyncIterable<string | Buffer>, maxBytes: number): AsyncGenerator<Buffer> {
  let held: Buffer[] = [];
  let heldBytes = 0;
  const hold = (part: Buffer): void => {
    heldBytes += part.length;
    if (heldBytes > maxBytes) {
      throw new MillstreamError('invalid', 'LINE_TOO_LONG', `a line is longer than ${maxBytes} bytes`);
    }
    if (part.length > 0) held.push(part);
  };
  const take = (): Buffer => {
    const line = held.length === 1 && held[0] ? held[0] : Buffer.concat(held);
    held = [];
    heldBytes = 0;
    return line;
  };
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    let from = 0;
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, from)) {
      hold(bytes.subarray(from, end));
      yield take();
      from = end + 1;
    }
    hold(bytes.subarray(from));
  }
  if (heldBytes > 0) yield take();
}
