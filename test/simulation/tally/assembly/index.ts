import { Output, Record, state, timers } from 'millstream/assembly';

/*
 * Counts what it is given, in all, by group and by window of record time; `checker/tally.ts` says the same again. Acts on the
 * first character of a value; its last one is the group.
 *
 *   F and T fail and trap, behind their writes    D deletes the group's count and emits nothing
 *   R emits the sum of all counts                 2 counts twice and is emitted twice
 *
 * State: n/<group> = count; w/<end>/<group> = count in the window that ends there. The timer of a window emits it to the second output.
 */
const WINDOW: i64 = 200;

export function transform(r: Record, out: Output): void {
  const value = r.value.toString();
  const kind = value.charCodeAt(0);
  const group = value.charAt(value.length - 1);
  const end = r.timestamp - (r.timestamp % WINDOW) + WINDOW;
  let window = 'late';
  if (kind != 68 && end > timers.now()) {
    const key = 'w/' + end.toString() + '/' + group;
    const count = state.add(key);
    if (count == 1) timers.set(end, group);
    window = count.toString();
  }
  const count = state.add('n/' + group, kind == 50 ? 2 : 1);

  if (kind == 70) return r.fail('REFUSED', 'it begins with F');
  if (kind == 84) unreachable();
  if (kind == 68) {
    state.remove('n/' + group);
    return;
  }
  let said = count;
  if (kind == 82) {
    said = 0;
    for (const s = state.scan('n/'); s.next(); ) said += load<i64>(s.value.ptr);
  }
  r.setValueText(value + '=' + said.toString() + ' ' + window);
  out.emit(r);
  if (kind == 50) out.emit(r);
}

export function onTimer(r: Record, out: Output): void {
  const key = 'w/' + r.timestamp.toString() + '/' + r.key.toString();
  const count = state.getNumber(key, -1);
  state.remove(key);
  r.setValueText(key + '=' + count.toString());
  out.to('suspect', r);
}
