import { expect, test } from 'vitest';
import { parseAddress } from '../../../core/client/address.ts';

test.each([
  ['localhost:9093', 'localhost', 9093],
  ['kafka', 'kafka', 9092],
  [' 10.0.0.1:1 ', '10.0.0.1', 1],
  ['[::1]:9094', '::1', 9094],
  ['[fe80::2]', 'fe80::2', 9092],
])('%j is host %s, port %d', (text, host, port) => expect(parseAddress(text)).toEqual({ host, port }));

test.each(['', ':9092', 'host:0', 'host:70000', 'host:port', 'a b:1', '::1'])(
  '%j is refused with how to write it',
  text => {
    expect(() => parseAddress(text)).toThrow(
      expect.objectContaining({ kind: 'invalid', code: 'BAD_ADDRESS', help: expect.stringContaining('host:port') }),
    );
  },
);
