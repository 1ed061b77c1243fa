import { Segment } from 'millstream/assembly';

/** The configured paths as a tree: one node a name. */
@final
export class Field {
  /** A path ends here: the value is scrubbed, whatever is in it. */
  ends: bool = false;
  names: Segment[] = [];
  children: Field[] = [];
  /** `*`: every element of an array, every member of an object that no name matches. */
  any: Field | null = null;

  /** Below a name, what holds below `*` holds too: afterwards one lookup is enough. */
  merge(): void {
    const any = this.any;
    if (any !== null) {
      for (let i = 0; i < this.children.length; i++) copyInto(this.children[i], any);
      any.merge();
    }
    for (let i = 0; i < this.children.length; i++) this.children[i].merge();
  }

  childOfKey(from: usize, to: usize): Field | null {
    for (let i = 0, n = this.names.length; i < n; i++) {
      if (unchecked(this.names[i]).isKey(from, to)) return unchecked(this.children[i]);
    }
    return this.any;
  }

  childOfIndex(index: i32): Field | null {
    for (let i = 0, n = this.names.length; i < n; i++) {
      if (unchecked(this.names[i]).index == index) return unchecked(this.children[i]);
    }
    return this.any;
  }
}

export function addField(root: Field, path: Segment[]): void {
  let at = root;
  for (let i = 0; i < path.length; i++) at = childFor(at, path[i]);
  at.ends = true;
}

function childFor(parent: Field, name: Segment): Field {
  if (name.any) {
    let any = parent.any;
    if (any === null) {
      any = new Field();
      parent.any = any;
    }
    return any;
  }
  for (let i = 0; i < parent.names.length; i++) {
    if (parent.names[i].isSame(name)) return parent.children[i];
  }
  const child = new Field();
  parent.names.push(name);
  parent.children.push(child);
  return child;
}

function copyInto(target: Field, source: Field): void {
  if (source.ends) target.ends = true;
  for (let i = 0; i < source.names.length; i++) copyInto(childFor(target, source.names[i]), source.children[i]);
  const any = source.any;
  if (any !== null) copyInto(childFor(target, Segment.every()), any);
}
