import { Bytes, Json, Output, Path, Record, json, state, timers } from 'millstream/assembly';

/*
 * State: key = the card, value = i64 end of its window, i64 uses in it. The timer of a card comes at the end of its
 * window and takes both away.
 */

let cardPath: Path = json.path('card');
let windowMs: i64 = 60000;
let most: i64 = 5;
let summary = false;

export function configure(config: Json): string | null {
  const card = config.get('card');
  if (card.exists) {
    if (!card.isString || card.text() == '') return '`card` must be a JSON path';
    cardPath = json.path(card.text());
  }
  const length = config.get('window_ms').number(60000);
  if (!(length >= 1)) return '`window_ms` must be a number of milliseconds';
  windowMs = <i64>length;
  const limit = config.get('most').number(5);
  if (!(limit >= 1)) return '`most` must be 1 or more';
  most = <i64>limit;
  summary = config.get('summary').bool(false);
  return null;
}

export function transform(r: Record, out: Output): void {
  const use = r.json();
  if (use === null) return;
  const found = use.find(cardPath);
  const card = found.isNumber ? found.raw.toString() : found.text();
  if (card == '') return r.fail('NO_CARD', 'the record names no card');

  const end = r.timestamp - modulo(r.timestamp, windowMs) + windowMs;
  if (end <= timers.now()) {
    // Its window has been summed up already.
    r.setHeader('velocity', 'late');
    return out.emit(r);
  }
  const known = state.get(card);
  let uses: i64 = 1;
  if (known.length == 16 && load<i64>(known.ptr) == end) uses = load<i64>(known.ptr, 8) + 1;
  if (uses == 1 && !timers.set(end, card)) return;
  if (!keep(card, end, uses)) return;

  r.setHeader('velocity', uses.toString());
  if (uses > most && out.has('suspect')) out.to('suspect', r);
  else out.emit(r);
}

function keep(card: string, end: i64, uses: i64): bool {
  const value = new Bytes(heap.alloc(16), 16);
  store<i64>(value.ptr, end);
  store<i64>(value.ptr, uses, 8);
  return state.putBytes(Bytes.of(card), value);
}

function modulo(value: i64, by: i64): i64 {
  const rest = value % by;
  return rest < 0 ? rest + by : rest;
}

export function onTimer(r: Record, out: Output): void {
  const card = r.key.toString();
  const known = state.get(card);
  if (known.length != 16 || load<i64>(known.ptr) != r.timestamp) return;
  const uses = load<i64>(known.ptr, 8);
  state.remove(card);
  if (!summary) return;
  r.setValueText(
    '{"card":' +
      json.quote(card).toString() +
      ',"from":' +
      (r.timestamp - windowMs).toString() +
      ',"to":' +
      r.timestamp.toString() +
      ',"uses":' +
      uses.toString() +
      '}',
  );
  if (out.has('windows')) out.to('windows', r);
  else out.emit(r);
}
