/* Slack for the part of an index interval that lies before what was asked for, beside round sizes of a fetch. */
const SLACK_BYTES = 64 * 1024;
const SIZES = [64 * 1024, 256 * 1024, 1024 * 1024, 4 * 1024 * 1024].map(size => size + SLACK_BYTES);
/** What is kept for the next reads at most. */
const KEPT_BYTES = 16 * 1024 * 1024;

/**
 * Buffers that disk reads fill. Fresh memory costs the kernel a page fault each 4 KiB, about as much as the copy out of
 * the page cache: buffers whose reader says that it is done are used again.
 */
export class ReadBuffers {
  private readonly free: Buffer[][] = SIZES.map(() => []);
  private keptBytes = 0;

  /** At least `length` bytes of anything. */
  take(length: number): Buffer {
    const at = SIZES.findIndex(size => size >= length);
    if (at < 0) return Buffer.allocUnsafeSlow(length);
    const kept = this.free[at]?.pop();
    if (!kept) return Buffer.allocUnsafeSlow(SIZES[at] as number);
    this.keptBytes -= kept.length;
    return kept;
  }

  /** Nobody looks at the buffer any more. */
  give(buffer: Buffer): void {
    if (this.keptBytes + buffer.length > KEPT_BYTES) return;
    const at = SIZES.indexOf(buffer.length);
    if (at < 0) return;
    this.free[at]?.push(buffer);
    this.keptBytes += buffer.length;
  }
}
