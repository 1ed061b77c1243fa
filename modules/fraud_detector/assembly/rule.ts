import { Json, Path, Record, json } from 'millstream/assembly';

/** One rule of the configuration: what it looks at, and what must be true of it. Several conditions must all hold. */
@final
export class Rule {
  name: string;
  score: f64;
  private header: string;
  private path: Path | null;
  private least: f64;
  private most: f64;
  private among: string[] | null;
  private notAmong: string[] | null;
  /** -1: not asked for; otherwise 0 or 1. */
  private exists: i32 = -1;

  constructor(rule: Json) {
    this.name = rule.get('name').text();
    this.score = rule.get('score').number(0);
    this.header = rule.get('header').text();
    const field = rule.get('field').text();
    this.path = field == '' ? null : json.path(field);
    this.least = rule.get('gte').number();
    this.most = rule.get('lte').number();
    this.among = texts(rule.get('in'));
    this.notAmong = texts(rule.get('not_in'));
    const exists = rule.get('exists');
    if (exists.isBool) this.exists = exists.bool() ? 1 : 0;
  }

  /** What is wrong with it; null: nothing. */
  refusal(): string | null {
    if (this.name == '') return 'a rule has no `name`';
    const rule = 'rule `' + this.name + '`';
    if ((this.path === null) == (this.header == '')) return rule + ' needs either `field` or `header`';
    const asks = !isNaN(this.least) || !isNaN(this.most) || this.among !== null || this.notAmong !== null;
    return asks || this.exists >= 0 ? null : rule + ' asks nothing: give `gte`, `lte`, `in`, `not_in` or `exists`';
  }

  get readsValue(): bool {
    return this.path !== null;
  }

  /** `value` is the record's, as JSON, when any rule reads it. */
  holds(record: Record, value: Json): bool {
    const path = this.path;
    if (path !== null) return this.holdsFor(value.find(path));
    const header = record.headerText(this.header);
    if (header === null) return this.exists == 0;
    return this.exists != 0 && this.fits(<f64>parseFloat(header), header);
  }

  private holdsFor(value: Json): bool {
    if (!value.exists || value.isNull) return this.exists == 0;
    // A number that is written as a text is a number here too.
    const text = value.text();
    return this.exists != 0 && this.fits(value.isNumber ? value.number() : <f64>parseFloat(text), text);
  }

  private fits(number: f64, text: string): bool {
    if (!isNaN(this.least) && !(number >= this.least)) return false;
    if (!isNaN(this.most) && !(number <= this.most)) return false;
    const among = this.among;
    if (among !== null && !among.includes(text)) return false;
    const notAmong = this.notAmong;
    return notAmong === null || !notAmong.includes(text);
  }
}

function texts(list: Json): string[] | null {
  if (!list.isArray) return null;
  const elements = list.elements();
  const found: string[] = [];
  for (let i = 0; i < elements.length; i++) found.push(elements[i].text());
  return found;
}
