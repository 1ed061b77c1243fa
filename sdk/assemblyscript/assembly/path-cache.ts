import { keep } from './arena';
import { Path, parsePath } from './path';

/*
 * `doc.get("customer.email")` should not take the path apart for every record. A string literal lies in static data
 * and never moves, so its address says which path it is.
 */
const MOST: i32 = 64;
const literals = new StaticArray<usize>(MOST);
const paths = new StaticArray<Path>(MOST);
let count = 0;

export function pathOf(text: string): Path {
  const address = changetype<usize>(text);
  for (let i = 0; i < count; i++) if (unchecked(literals[i]) == address) return unchecked(paths[i]);
  const path = parsePath(text);
  if (address < __heap_base && count < MOST) {
    literals[count] = address;
    paths[count++] = path;
    keep();
  }
  return path;
}
