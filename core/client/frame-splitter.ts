import { MillstreamError } from '../base/errors.ts';

const SIZE_BYTES = 4;
/** No broker answers with more; a stray TLS or HTTP server is told by its "size". */
export const MAX_FRAME_BYTES = 512 * 1024 * 1024;

/** How a TLS server begins to say that it cannot read us: record type 21, version 3. */
const TLS_ALERT = 0x1503;

/** Cuts a byte stream into frames: int32 size, then as many bytes. Pieces are joined once, when a frame is whole. */
export class FrameSplitter {
  private pieces: Buffer[] = [];
  private heldBytes = 0;
  /** Bytes of the frame that is being gathered, its size included; SIZE_BYTES until that is known. */
  private wanted = SIZE_BYTES;

  /** Takes what has come; returns the frames that are now whole, without their size. Kind `unavailable` on nonsense. */
  push(piece: Buffer): Buffer[] {
    this.pieces.push(piece);
    this.heldBytes += piece.length;
    const frames: Buffer[] = [];
    while (this.heldBytes >= this.wanted) {
      const bytes = this.pieces.length === 1 ? (this.pieces[0] as Buffer) : Buffer.concat(this.pieces);
      let at = 0;
      while (bytes.length - at >= SIZE_BYTES) {
        const size = bytes.readInt32BE(at);
        if (size < SIZE_BYTES || size > MAX_FRAME_BYTES || size >>> 16 === TLS_ALERT) throw notKafka(size);
        this.wanted = SIZE_BYTES + size;
        if (bytes.length - at < this.wanted) break;
        frames.push(bytes.subarray(at + SIZE_BYTES, at + this.wanted));
        at += this.wanted;
        this.wanted = SIZE_BYTES;
      }
      this.pieces = at < bytes.length ? [bytes.subarray(at)] : [];
      this.heldBytes = bytes.length - at;
    }
    return frames;
  }
}

function notKafka(size: number): MillstreamError {
  return new MillstreamError('unavailable', 'UNREACHABLE', `the answer begins with a frame size of ${size}`, {
    retriable: false,
    help: 'Is this address a Kafka listener without TLS?',
  });
}
