import { Bytes } from './bytes';
import { copy } from './copy';
import { quoteTo, quotedSize } from './escape';
import { Json } from './json';
import { Path } from './path';
import { findQuote, skipColon, skipSpace, skipValue } from './scan';

/** `doc` with the bytes from `from` to `to` replaced. */
function splice(doc: Json, from: usize, to: usize, ptr: usize, length: i32): Json {
  const before = <i32>(from - doc.ptr);
  const behind = <i32>(doc.end - to);
  const target = heap.alloc(before + length + behind + 16);
  copy(target, doc.ptr, before);
  copy(target + before, ptr, length);
  copy(target + before + length, to, behind);
  return new Json(target, target + before + length + behind);
}

export function setAt(doc: Json, path: Path, value: Bytes): Json {
  let at: Json = doc;
  for (let i = 0; i < path.length; i++) {
    const next = at.child(path[i]);
    if (!next.exists) return at.isObject ? addAt(doc, at, path, i, value) : doc;
    at = next;
  }
  return splice(doc, at.ptr, at.end, value.ptr, value.length);
}

/** Adds `"name":value` behind the last member of `object`, in as many new objects as names are left. */
function addAt(doc: Json, object: Json, path: Path, from: i32, value: Bytes): Json {
  let size = value.length + 1;
  for (let i = from; i < path.length; i++) size += quotedSize(path[i].length) + 3;
  const member = heap.alloc(size);
  let to = member;
  if (load<u8>(skipSpace(object.ptr + 1)) != 0x7d) store<u8>(to++, 0x2c);
  for (let i = from; i < path.length; i++) {
    if (i > from) store<u8>(to++, 0x7b);
    to = quoteTo(to, path[i].ptr, path[i].ptr + path[i].length);
    store<u8>(to++, 0x3a);
  }
  copy(to, value.ptr, value.length);
  to += value.length;
  for (let i = from + 1; i < path.length; i++) store<u8>(to++, 0x7d);
  return splice(doc, object.end - 1, object.end - 1, member, <i32>(to - member));
}

export function removeAt(doc: Json, path: Path): Json {
  while (true) {
    let parent: Json = doc;
    for (let i = 0; i < path.length - 1; i++) parent = parent.child(path[i]);
    if (!parent.isObject && !parent.isArray) return doc;
    const found = parent.child(path[path.length - 1]);
    if (!found.exists) return doc;
    const inObject = parent.isObject;
    doc = removeMember(doc, parent, found);
    if (!inObject) return doc;
  }
}

/** Removes with the member the comma before it, or, of the first one, the comma behind. */
function removeMember(doc: Json, parent: Json, found: Json): Json {
  let comma: usize = 0;
  let at = skipSpace(parent.ptr + 1);
  while (true) {
    const member = at;
    if (parent.isObject) at = skipColon(findQuote(at + 1));
    const value = at;
    at = skipSpace(skipValue(at));
    if (value == found.ptr) {
      if (comma != 0) return splice(doc, comma, found.end, 0, 0);
      const to = load<u8>(at) == 0x2c ? skipSpace(at + 1) : found.end;
      return splice(doc, member, to, 0, 0);
    }
    comma = at;
    at = skipSpace(at + 1);
  }
}
