import type { Random } from '../../core/base/random.ts';

/*
 * Random JSON documents as text, with white space, escapes, odd keys and keys that occur twice. What they mean is left
 * to JSON.parse.
 */
const KEYS = [
  'a',
  'b',
  'email',
  'customer',
  'items',
  '0',
  '1',
  '',
  'a.b',
  '*',
  'é',
  'schlüssel',
  'a very long key, of 37 characters !!',
];
const TEXTS = [
  '',
  'x',
  'ada@example.com',
  'é',
  '😀',
  '"',
  '\\',
  '\n',
  '\u0000',
  '\ud800',
  '/',
  'a'.repeat(15),
  'b'.repeat(16),
  'ü'.repeat(20),
  '{"a":1}',
  '***',
];
const NUMBERS = ['0', '-0', '1', '42', '-17', '3.25', '1e3', '1E-2', '0.1', '123456789012', '-2.5e+10', '1.0'];

export interface Shape {
  /** White space between tokens. */
  spaces: boolean;
  /** Characters written as escapes that need none. */
  escapes: boolean;
  /** Keys that occur twice in one object. */
  doubles: boolean;
}

export class JsonMaker {
  private readonly random: Random;
  private readonly shape: Shape;

  constructor(random: Random, shape: Shape) {
    this.random = random;
    this.shape = shape;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random.float() * list.length)] as T;
  }

  below(limit: number): number {
    return Math.floor(this.random.float() * limit);
  }

  document(): string {
    const kind = this.below(10);
    const value = kind === 0 ? this.value(0) : kind < 3 ? this.array(3) : this.object(4);
    return this.space() + value + this.space();
  }

  value(depth: number): string {
    const kind = this.below(depth > 0 ? 10 : 5);
    if (kind === 0) return this.pick(NUMBERS);
    if (kind === 1) return this.pick(['true', 'false', 'null']);
    if (kind < 5) return this.string(this.pick(TEXTS) + (this.below(3) === 0 ? this.pick(TEXTS) : ''));
    return kind < 8 ? this.object(depth - 1) : this.array(depth - 1);
  }

  private object(depth: number): string {
    const keys: string[] = [];
    for (let i = this.below(6); i > 0; i--) {
      const key = this.pick(KEYS);
      if (this.shape.doubles || !keys.includes(key)) keys.push(key);
    }
    const members = keys.map(
      key => `${this.string(key)}${this.space()}:${this.space()}${this.value(depth)}${this.space()}`,
    );
    return `{${this.space()}${members.join(`,${this.space()}`)}}`;
  }

  private array(depth: number): string {
    const elements = Array.from({ length: this.below(5) }, () => this.value(depth) + this.space());
    return `[${this.space()}${elements.join(`,${this.space()}`)}]`;
  }

  private string(text: string): string {
    if (!this.shape.escapes || this.below(2) === 0) return JSON.stringify(text);
    let out = '"';
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (this.below(3) === 0) out += `\\u${unit.toString(16).padStart(4, '0')}`;
      else if (text.slice(i, i + 2).isWellFormed() && !text.charAt(i).isWellFormed()) out += text.slice(i, ++i + 1);
      else out += JSON.stringify(text.charAt(i)).slice(1, -1);
    }
    return `${out}"`;
  }

  private space(): string {
    return this.shape.spaces ? this.pick(['', '', ' ', '\n  ', '\t', '\r\n']) : '';
  }
}
