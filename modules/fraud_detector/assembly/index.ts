import { Bytes, Json, Output, Record, json } from 'millstream/assembly';
import { Rule } from './rule';

const USUAL =
  '[{"name":"amount","field":"amount","gte":10000,"score":60},{"name":"velocity","header":"velocity","gte":6,"score":60}]';

let rules: Rule[] = [];
let reviewFrom: f64 = 50;
let blockFrom: f64 = 100;
let readsValue = false;

export function configure(config: Json): string | null {
  reviewFrom = config.get('review_from').number(50);
  blockFrom = config.get('block_from').number(100);
  if (reviewFrom > blockFrom) return '`review_from` must not be above `block_from`';
  const given = config.get('rules');
  const list = given.exists ? given : json.parse(Bytes.of(USUAL));
  if (list === null || !list.isArray || list.elements().length == 0)
    return '`rules` must be a list of at least one rule';
  const elements = list.elements();
  for (let i = 0; i < elements.length; i++) {
    const rule = new Rule(elements[i]);
    const refusal = rule.refusal();
    if (refusal !== null) return refusal;
    rules.push(rule);
    readsValue = readsValue || rule.readsValue;
  }
  return null;
}

/** The value stays byte for byte: what was found stands in headers. */
export function transform(r: Record, out: Output): void {
  let value = Json.nothing();
  if (readsValue) {
    const parsed = r.json();
    if (parsed === null) return;
    value = parsed;
  }
  let score: f64 = 0;
  let names = '';
  for (let i = 0, n = rules.length; i < n; i++) {
    const rule = unchecked(rules[i]);
    if (!rule.holds(r, value)) continue;
    score += rule.score;
    names = names == '' ? rule.name : names + ',' + rule.name;
  }
  const tier = score >= blockFrom ? 'block' : score >= reviewFrom ? 'review' : 'clear';
  r.setHeader('fraud.score', json.number(score).toString());
  r.setHeader('fraud.tier', tier);
  if (names == '') r.removeHeader('fraud.rules');
  else r.setHeader('fraud.rules', names);
  if (tier != 'clear' && out.has(tier)) out.to(tier, r);
  else out.emit(r);
}
