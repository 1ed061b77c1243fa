import { Bytes } from './bytes';
import { copy } from './copy';
import { cursor, readVarint, writeSized, writeVarint } from './varint';

/*
 * A record's headers as they lie in its body, and what was set and removed since:
 * header count, { name length, name, value length (-1 null), value }*; lengths are zigzag varints.
 */

/** What became of the headers of one name. */
@final
class HeaderEdit {
  namePtr: usize = 0;
  nameLength: i32 = 0;
  valuePtr: usize = 0;
  valueLength: i32 = -1;
  removes: bool = false;
}

/** The changes, in the order in which names were first changed. */
@final
export class HeaderEdits {
  private edits: HeaderEdit[] = [];

  put(name: string, valuePtr: usize, valueLength: i32, removes: bool): void {
    const buffer = String.UTF8.encode(name);
    const namePtr = changetype<usize>(buffer);
    let edit = this.find(namePtr, buffer.byteLength);
    if (edit === null) {
      edit = new HeaderEdit();
      edit.namePtr = namePtr;
      edit.nameLength = buffer.byteLength;
      this.edits.push(edit);
    }
    edit.valuePtr = valuePtr;
    edit.valueLength = valueLength;
    edit.removes = removes;
  }

  find(namePtr: usize, nameLength: i32): HeaderEdit | null {
    for (let i = 0; i < this.edits.length; i++) {
      const edit = this.edits[i];
      if (sameBytes(edit.namePtr, edit.nameLength, namePtr, nameLength)) return edit;
    }
    return null;
  }

  /** At most this many bytes come to the headers before. */
  maxSize(): i32 {
    let size = 5;
    for (let i = 0; i < this.edits.length; i++) {
      size += this.edits[i].nameLength + max(this.edits[i].valueLength, 0) + 10;
    }
    return size;
  }

  /** Writes the headers that lie at `from`, changed; returns the address behind them. */
  write(to: usize, from: usize): usize {
    const before = readVarint(from);
    const first = cursor;
    let count = 0;
    let at = first;
    for (let i = 0; i < before; i++) {
      if (this.findAt(at) === null) count++;
      at = behindHeader(at);
    }
    for (let i = 0; i < this.edits.length; i++) if (!this.edits[i].removes) count++;
    to = writeVarint(to, count);
    at = first;
    for (let i = 0; i < before; i++) {
      const behind = behindHeader(at);
      if (this.findAt(at) === null) {
        copy(to, at, <i32>(behind - at));
        to += behind - at;
      }
      at = behind;
    }
    for (let i = 0; i < this.edits.length; i++) {
      const edit = this.edits[i];
      if (edit.removes) continue;
      to = writeSized(to, edit.namePtr, edit.nameLength);
      to = writeSized(to, edit.valuePtr, edit.valueLength);
    }
    return to;
  }

  /** The change of the header that lies at `at`. */
  private findAt(at: usize): HeaderEdit | null {
    const length = readVarint(at);
    return this.find(cursor, length);
  }
}

function behindHeader(at: usize): usize {
  const nameLength = readVarint(at);
  const valueLength = readVarint(cursor + nameLength);
  return cursor + max(valueLength, 0);
}

/** The last header of this name among those at `from`, with the changes; null when there is none. */
export function findHeader(from: usize, edits: HeaderEdits | null, name: string): Bytes | null {
  const wanted = String.UTF8.encode(name);
  const wantedPtr = changetype<usize>(wanted);
  const wantedLength = wanted.byteLength;
  if (edits !== null) {
    const edit = edits.find(wantedPtr, wantedLength);
    if (edit !== null) return edit.removes ? null : new Bytes(edit.valuePtr, edit.valueLength);
  }
  let found: Bytes | null = null;
  let left = readVarint(from);
  let at = cursor;
  for (; left > 0; left--) {
    const length = readVarint(at);
    const namePtr = cursor;
    const valueLength = readVarint(namePtr + length);
    if (sameBytes(namePtr, length, wantedPtr, wantedLength)) found = new Bytes(cursor, valueLength);
    at = cursor + max(valueLength, 0);
  }
  return found;
}

function sameBytes(a: usize, aLength: i32, b: usize, bLength: i32): bool {
  return aLength == bLength && memory.compare(a, b, aLength) == 0;
}
