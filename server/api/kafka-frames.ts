/*
 * Cuts a byte stream into Kafka frames: int32 size, then as many bytes. Every frame gets a buffer of its own exact
 * size, whatever the pieces were: the pieces' memory may be used again at once, and a big batch can go to the log as
 * the view of its frame that it is.
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
  /** The frame being gathered, its final size, and how much of it is there. */
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
    for (let at = 0; at < chunk.length; ) {
      at = this.frame ? this.fill(this.frame, chunk, at) : this.begin(chunk, at);
    }
  }

  private begin(chunk: Buffer, at: number): number {
    if (this.sizeFilled === 0 && chunk.length - at >= SIZE_BYTES) {
      this.frameBytes = chunk.readInt32BE(at);
      at += SIZE_BYTES;
    } else {
      this.size[this.sizeFilled++] = chunk[at++] as number;
      if (this.sizeFilled < SIZE_BYTES) return at;
      this.frameBytes = this.size.readInt32BE(0);
    }
    this.sizeFilled = 0;
    if (this.frameBytes < 0 || this.frameBytes > this.maxBytes) {
      throw new FrameError(`a request of ${this.frameBytes} bytes; at most ${this.maxBytes} are allowed`);
    }
    // Small ones share the pool's memory; a big one must not pin what is not its own.
    this.frame = Buffer.allocUnsafe(Math.min(this.frameBytes, TRUSTED_BYTES));
    this.filled = 0;
    if (this.frameBytes === 0) this.finish(this.frame);
    return at;
  }

  private fill(frame: Buffer, chunk: Buffer, from: number): number {
    const end = Math.min(chunk.length, from + this.frameBytes - this.filled);
    const filled = this.filled + end - from;
    let target = frame;
    if (filled > frame.length) {
      target = Buffer.allocUnsafeSlow(Math.min(this.frameBytes, Math.max(frame.length * 4, filled)));
      target.set(frame.subarray(0, this.filled));
      this.frame = target;
    }
    target.set(from === 0 && end === chunk.length ? chunk : chunk.subarray(from, end), this.filled);
    this.filled = filled;
    if (filled === this.frameBytes) this.finish(target);
    return end;
  }

  private finish(frame: Buffer): void {
    this.frame = null;
    this.onFrame(frame);
  }
}
