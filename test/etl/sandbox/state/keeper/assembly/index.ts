import { Json, Output, Record, state, timers } from 'millstream/assembly';

/*
 * Does what a record's value says, one word after the other:
 *
 *   +K    adds one to K, and emits `K=n`          =K:V  puts V under K           -K  deletes K
 *   ?K    emits `K=V`, or `K` when there is none  *P    emits `k=V,k=V,` of all keys that begin with P, in pieces
 *   @T:K  sets a timer to base + T                !     traps                    #   fails the record
 *   %N    emits N bytes                           ~     never returns            &N  puts a value of N bytes
 *   ^     emits the step's time less base                 $     changes two keys again and again
 *
 * A timer emits `timer K`, adds one to `timers`, and does what stands behind a `/` in its key.
 */
const BASE: i64 = 1700000000000;

export function configure(config: Json): string | null {
  return null;
}

function say(r: Record, out: Output, text: string): void {
  r.setValueText(text);
  out.emit(r);
}

function act(r: Record, out: Output, words: string[]): void {
  for (let i = 0; i < words.length; i++) {
    const word = words[i];
    const what = word.charAt(0);
    const rest = word.substring(1);
    const colon = rest.indexOf(':');
    const first = colon < 0 ? rest : rest.substring(0, colon);
    const second = colon < 0 ? '' : rest.substring(colon + 1);
    if (what == '+') say(r, out, rest + '=' + addTo(rest).toString());
    else if (what == '=') state.put(first, second);
    else if (what == '-') state.remove(rest);
    else if (what == '?') {
      const found = state.get(rest);
      say(r, out, found.isNull ? rest : rest + '=' + found.toString());
    } else if (what == '*') {
      let text = '';
      for (const s = state.scan(rest); s.next(); ) {
        text += s.key.toString() + '=' + s.value.toString() + ',';
        if (text.length < 1000) continue;
        say(r, out, text);
        text = '';
      }
      say(r, out, text);
    } else if (what == '@') timers.set(BASE + I64.parseInt(first), second);
    else if (what == '!') unreachable();
    else if (what == '#') r.fail('REFUSED', 'as it was told');
    else if (what == '%') say(r, out, 'x'.repeat(I32.parseInt(rest)));
    else if (what == '~') while (true) {}
    else if (what == '&') state.put('big', 'v'.repeat(I32.parseInt(rest)));
    else if (what == '$') for (let n = 0; ; n++) state.put(n % 2 == 0 ? 'even' : 'odd', n.toString());
    else if (what == '^') say(r, out, (timers.now() - BASE).toString());
    if (r.failed) return;
  }
}

/** As text, so that tests can read it. */
function addTo(key: string): i64 {
  const before = state.get(key);
  const now = (before.isNull ? 0 : I64.parseInt(before.toString())) + 1;
  state.put(key, now.toString());
  return now;
}

export function transform(r: Record, out: Output): void {
  act(r, out, r.value.toString().split(' '));
}

export function onTimer(r: Record, out: Output): void {
  const key = r.key.toString();
  addTo('timers');
  say(r, out, 'timer ' + key);
  const slash = key.indexOf('/');
  if (slash >= 0) act(r, out, key.substring(slash + 1).split(','));
}
