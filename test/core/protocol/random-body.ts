import type { Random } from '../../../core/base/random.ts';
import { covers, type Field, type Fields } from '../../../core/protocol/schema.ts';

export function randomBytes(random: Random, length: number): Buffer {
  const target = Buffer.alloc(length);
  random.fill(target);
  return target;
}

/** A random body with everything that this version carries, and the defaults of everything else. */
export function randomBody(random: Random, fields: Fields, version: number, depth = 0): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [
      name,
      covers(field.versions, version) ? randomValue(random, field, version, depth) : field.default,
    ]),
  );
}

function randomValue(random: Random, field: Field, version: number, depth: number): unknown {
  const upTo = (limit: number): number => Math.floor(random.float() * limit);
  const signed = (bits: number): number => {
    const edge = upTo(6);
    if (edge === 0) return -(2 ** (bits - 1));
    if (edge === 1) return 2 ** (bits - 1) - 1;
    return upTo(2 ** bits) - 2 ** (bits - 1);
  };
  const bytes = (): Buffer => randomBytes(random, upTo(5) === 0 ? 0 : upTo(300));
  if (covers(field.nullable, version) && upTo(4) === 0) return null;
  const { type } = field;
  switch (type.kind) {
    case 'bool':
      return upTo(2) === 1;
    case 'int8':
      return signed(8);
    case 'int16':
      return signed(16);
    case 'uint16':
      return upTo(65_536);
    case 'int32':
      return signed(32);
    case 'uint32':
      return upTo(2 ** 32);
    case 'int64':
      return [-1, 0, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, 2 ** 63, signed(50)][upTo(6)];
    case 'float64':
      return random.float() * 1e9;
    case 'uuid':
      return randomBytes(random, 16).toString('hex');
    case 'string':
      return ['', 'orders', 'größe 漢字 🎏', 'x'.repeat(upTo(400))][upTo(4)];
    case 'bytes':
    case 'records':
      return bytes();
    case 'array':
      return Array.from({ length: upTo(depth < 2 ? 4 : 3) }, () =>
        randomValue(random, type.element, version, depth + 1),
      );
    case 'struct':
      return randomBody(random, type.fields, version, depth + 1);
  }
}
