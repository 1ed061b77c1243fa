import { expect, test } from 'vitest';
import { seededRandom } from '../../../core/base/random.ts';
import { decode, encode } from '../../../core/protocol/codec.ts';
import { randomBody } from './random-body.ts';
import { ALL_SCHEMAS, versionsOf } from './schemas.ts';

test.each(ALL_SCHEMAS.map(schema => ({ name: schema.name, schema })))(
  'any $name comes back as it was written, in every version',
  ({ schema }) => {
    for (const version of versionsOf(schema)) {
      const random = seededRandom(version + 1);
      for (let round = 0; round < 20; round++) {
        const body = randomBody(random, schema.fields, version);
        const bytes = Buffer.concat(encode(schema, version, body));
        expect(decode(schema, version, bytes)).toEqual(body);
      }
    }
  },
);
