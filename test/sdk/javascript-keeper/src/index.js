/* Does to its state what records tell it. */

export const tombstones = true;

/** Counts words, and does what some of them say. */
export function transform(record, { state, timers }) {
  const word = record.text();
  const n = state.add(`n/${word}`);
  const [what, rest] = word.split(' ');
  if (what === 'put') state.put('kept', JSON.parse(rest));
  if (what === 'kept') return record.with({ value: [state.text('kept'), state.json('kept'), state.get('no')] });
  if (what === 'remove') return record.with({ value: [state.remove('kept'), state.remove('kept')] });
  if (what === 'all') return record.with({ value: Array.from(state.scan('n/'), ({ key }) => key.slice(2)) });
  if (what === 'many') {
    for (let i = 0; i < 600; i++) state.putNumber(`m/${i}`, -i);
    const found = [...state.scan('m/')];
    return record.with({ value: [found.length, found[599].key, state.getNumber('m/599'), state.getNumber('no', 7)] });
  }
  if (what === 'hold') state.put('held', new Uint8Array(Number(rest)));
  if (what === 'held') return record.with({ value: state.get('held').length });
  if (what === 'timer') timers.set(timers.now() + 1, rest);
  if (what === 'never') timers.set(Number.NaN, 'x');
  if (what === 'refuse') record.fail('NOT_GOOD', 'it says so');
  if (what === 'crash') record.missing.field();
  if (what === 'long') state.put('k'.repeat(2000), 'x');
  if (what === 'big') state.put('k', new Uint8Array(300_000));
  if (what === 'spin') for (;;);
  return record.with({ value: `${word}=${n}` });
}

export function onTimer(timer, { state, timers }) {
  const key = timer.keyText();
  const n = state.add(`rang/${key}`);
  if (key === 'crash') throw new Error('the timer is at fault');
  if (key === 'again') timers.set(timer.timestamp + 1, key);
  const value = [key, n, timer.value, Date.now() === timer.timestamp, timers.now() - timer.timestamp];
  if (key === 'route') return [timer.with({ value }), timer.to('suspect')];
  return timer.with({ value });
}
