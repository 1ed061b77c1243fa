/*
 * Cuts a byte stream into Kafka frames: int32 size, then as many bytes. A frame that lies whole in one piece read from
 * the socket is a view of it; one that spans pieces is gathered in a buffer of its own exact size, so that a big batch
 * can go to the log without another copy.
 */

/** Beyond this a frame's buffer grows as bytes arrive: a size alone must not make us allocate it. */
const TRUSTED_BYTES = 1024 * 1024;
const SIZE_BYTES = 4;

export class FrameError extends Error {
  override readonly name = 'FrameError';
}

export class FrameReader {
  private readonly maxBytes: number;
  private readonly onFrame: (frame: Buffer) => void;
  private readonly size = Buffer.alloc(SIZE_BYTES);
  private sizeFilled = 0;
  /** The frame being gathered, and how much of it is there. */
  private frame: Buffer | null = null;
  private frameBytes = 0;
  private filled = 0;

  constructor(maxBytes: number, onFrame: (frame: Buffer) => void) {
    this.maxBytes = maxBytes;
    this.onFrame = onFrame;
  }

  /** True between frames. */
  get idle(): boolean {
    return this.sizeFilled === 0 && this.frame === null;
  }

  /** Throws FrameError when a size is negative or more than is allowed; nothing can be read after that. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.frame) {
        at = this.fill(chunk, at);
        continue;
      }
      if (this.sizeFilled === 0 && chunk.length - at >= SIZE_BYTES) {
        this.frameBytes = chunk.readInt32BE(at);
        at += SIZE_BYTES;
      } else {
        this.size[this.sizeFilled++] = chunk[at++] as number;
        if (this.sizeFilled < SIZE_BYTES) continue;
        this.frameBytes = this.size.readInt32BE(0);
      }
      this.sizeFilled = 0;
      if (this.frameBytes < 0 || this.frameBytes > this.maxBytes) {
        throw new FrameError(`a request of ${this.frameBytes} bytes; at most ${this.maxBytes} are allowed`);
      }
      if (chunk.length - at >= this.frameBytes) {
        this.onFrame(chunk.subarray(at, at + this.frameBytes));
        at += this.frameBytes;
      } else {
        this.frame = Buffer.allocUnsafeSlow(Math.min(this.frameBytes, TRUSTED_BYTES));
        this.filled = 0;
      }
    }
  }

  private fill(chunk: Buffer, from: number): number {
    let frame = this.frame as Buffer;
    const end = Math.min(chunk.length, from + this.frameBytes - this.filled);
    if (this.filled + end - from > frame.length) {
      const bigger = Buffer.allocUnsafeSlow(
        Math.min(this.frameBytes, Math.max(frame.length * 4, this.filled + end - from)),
      );
      frame.copy(bigger, 0, 0, this.filled);
      this.frame = frame = bigger;
    }
    chunk.copy(frame, this.filled, from, end);
    this.filled += end - from;
    if (this.filled === this.frameBytes) {
      this.frame = null;
      this.onFrame(frame);
    }
    return end;
  }
}
