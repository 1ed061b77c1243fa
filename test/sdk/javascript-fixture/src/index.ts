import type { Record } from '../../../../sdk/javascript/guest/record.ts';
import { shout } from './shout.ts';

export const tombstones = true;
let greeting = '';

export function configure(config: { greeting?: string }, step: { outputs: string[] }): void {
  if (config.greeting === undefined) throw new Error('`greeting` must be a text');
  ({ greeting } = config);
  console.warn('outputs', step.outputs);
}

/** The value says what is to be done. */
export function transform(r: Record): Record | Record[] | null {
  if (r.value === null) return r.with({ headers: { was: 'a tombstone' } });
  const { do: what } = r.json();
  switch (what) {
    case 'pass':
      return r;
    case 'drop':
      return null;
    case 'change':
      return r.with({ key: 'k2', value: { said: shout(greeting) }, headers: { tier: 'gold', old: null } });
    case 'describe':
      return r.with({ value: [r.keyText(), r.header('old'), r.offset, r.timestamp, Date.now(), Math.random()] });
    case 'both':
      return [
        r.with({ timestamp: 7, value: 'é'.repeat(100) }),
        r.with({ value: new Uint8Array([1, 2]) }).to('suspect'),
      ];
    case 'grow':
      return r.with({ key: 'k'.repeat(200_000), value: 'é'.repeat(300_000) });
    case 'nowhere':
      return r.to('nowhere');
    case 'refuse':
      return r.fail('TOO_SMALL', 'it is too small');
    case 'crash':
      return r.with({ value: what.deep.down });
    case 'spin':
      for (;;);
    default:
      return what as Record;
  }
}
