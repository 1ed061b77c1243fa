import { Bytes, Json, Path, Record, json } from 'millstream/assembly';
import { timeText } from './time';

/** What a field is made of. */
enum Kind {
  copy,
  sum,
  product,
  text,
  time,
  classify,
  lookup,
}

/** One derived field of the configuration. */
@final
export class Field {
  private to: string;
  private kind: Kind = Kind.copy;
  private path: Path | null = null;
  /** Of a sum or product: paths, or null where a number stands. Of a text: the paths between the literal parts. */
  private paths: (Path | null)[] = [];
  private numbers: f64[] = [];
  private literals: string[] = [];
  private unit: string = '';
  private names: Bytes[] = [];
  private keys: string[] = [];
  private values: Bytes[] = [];
  private otherwise: Bytes | null = null;
  private scale: f64 = 0;
  /** What is wrong with it; null: nothing. */
  refusal: string | null = null;

  constructor(field: Json) {
    this.to = field.get('to').text();
    const decimals = field.get('decimals');
    if (decimals.isNumber) this.scale = Math.pow(10, decimals.number());
    const otherwise = field.get('default');
    if (otherwise.exists) this.otherwise = otherwise.raw;
    if (this.to == '') this.refusal = 'a field has no `to`';
    else if (!this.read(field))
      this.refuse('needs one of `copy`, `sum`, `product`, `text`, `time`, `classify`, `lookup`');
  }

  private refuse(why: string): void {
    this.refusal = 'field `' + this.to + '` ' + why;
  }

  private read(field: Json): bool {
    if (field.get('copy').exists) this.readPath(field.get('copy'), Kind.copy);
    else if (field.get('sum').isArray) this.readNumbers(field.get('sum'), Kind.sum);
    else if (field.get('product').isArray) this.readNumbers(field.get('product'), Kind.product);
    else if (field.get('text').exists) this.readTemplate(field.get('text').text());
    else if (field.get('time').exists) {
      this.kind = Kind.time;
      this.unit = field.get('time').text();
    } else if (field.get('classify').exists) {
      this.readPath(field.get('classify'), Kind.classify);
      this.readClasses(field.get('edges').elements(), field.get('names').elements());
    } else if (field.get('lookup').exists) {
      this.readPath(field.get('lookup'), Kind.lookup);
      this.readTable(field.get('table'));
    } else return false;
    return true;
  }

  private readPath(path: Json, kind: Kind): void {
    this.kind = kind;
    this.path = json.path(path.text());
  }

  private readNumbers(list: Json, kind: Kind): void {
    this.kind = kind;
    const elements = list.elements();
    for (let i = 0; i < elements.length; i++) {
      const isNumber = elements[i].isNumber;
      this.paths.push(isNumber ? null : json.path(elements[i].text()));
      this.numbers.push(isNumber ? elements[i].number() : NaN);
    }
  }

  private readTemplate(template: string): void {
    this.kind = Kind.text;
    let from = 0;
    while (true) {
      const open = template.indexOf('{', from);
      const close = open < 0 ? -1 : template.indexOf('}', open);
      if (close < 0) break;
      this.literals.push(template.substring(from, open));
      this.paths.push(json.path(template.substring(open + 1, close)));
      from = close + 1;
    }
    this.literals.push(template.substring(from));
  }

  private readClasses(edges: Json[], names: Json[]): void {
    if (names.length != edges.length + 1)
      return this.refuse('has ' + edges.length.toString() + ' `edges`: `names` must be one more');
    for (let i = 0; i < edges.length; i++) {
      this.numbers.push(edges[i].number());
      if (i > 0 && !(this.numbers[i] > this.numbers[i - 1])) return this.refuse('has `edges` that do not rise');
    }
    for (let i = 0; i < names.length; i++) this.names.push(names[i].raw);
  }

  private readTable(table: Json): void {
    if (!table.isObject) return this.refuse('has no `table`');
    this.keys = table.keys();
    for (let i = 0; i < this.keys.length; i++) this.values.push(table.child(json.path(escaped(this.keys[i]))[0]).raw);
  }

  /** The document with this field, or as it was when there is nothing to set. */
  apply(doc: Json, record: Record): Json {
    const value = this.valueIn(doc, record);
    if (value !== null) return doc.set(this.to, value);
    const otherwise = this.otherwise;
    return otherwise === null ? doc : doc.set(this.to, otherwise);
  }

  private valueIn(doc: Json, record: Record): Bytes | null {
    if (this.kind == Kind.time) return json.quote(timeText(record.timestamp, this.unit));
    if (this.kind == Kind.text) return this.textIn(doc);
    if (this.kind == Kind.sum || this.kind == Kind.product) return this.numberIn(doc);
    const found = doc.find(this.path!);
    if (!found.exists) return null;
    if (this.kind == Kind.copy) return found.raw;
    if (this.kind == Kind.classify) return this.classOf(found);
    const key = found.text();
    const at = this.keys.indexOf(key);
    return at < 0 ? null : this.values[at];
  }

  private numberIn(doc: Json): Bytes | null {
    let result: f64 = this.kind == Kind.sum ? 0 : 1;
    for (let i = 0; i < this.paths.length; i++) {
      const path = this.paths[i];
      const number = path === null ? this.numbers[i] : doc.find(path).number();
      if (isNaN(number)) return null;
      result = this.kind == Kind.sum ? result + number : result * number;
    }
    if (this.scale > 0) result = Math.round(result * this.scale) / this.scale;
    return isFinite(result) ? json.number(result) : null;
  }

  private textIn(doc: Json): Bytes {
    let text = this.literals[0];
    for (let i = 0; i < this.paths.length; i++) text += doc.find(this.paths[i]!).text() + this.literals[i + 1];
    return json.quote(text);
  }

  private classOf(found: Json): Bytes | null {
    const number = found.number();
    if (isNaN(number)) return null;
    let at = 0;
    while (at < this.numbers.length && number >= this.numbers[at]) at++;
    return this.names[at];
  }
}

/** A key of the table as a path of one name. */
function escaped(key: string): string {
  return key.replaceAll('\\', '\\\\').replaceAll('.', '\\.').replaceAll('*', '\\*');
}
