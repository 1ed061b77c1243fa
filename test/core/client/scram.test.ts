import { describe, expect, test } from 'vitest';
import { Scram } from '../../../core/client/scram.ts';

describe('SCRAM-SHA-256, the exchange of RFC 7677 section 3', () => {
  const serverFirst = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096';
  const start = (): Scram => new Scram('sha256', 'user', 'pencil', 'rOprNGfwEbeRWgbNEkqO');

  test('gives the same messages and takes the server for what it is', async () => {
    const scram = start();
    expect(scram.first()).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
    expect(await scram.final(serverFirst)).toBe(
      'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    );
    scram.verify('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
  });

  test.each([
    ['a nonce that is not ours', 'r=somethingElse,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'],
    ['a nonce without a part of its own', 'r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'],
    ['too few iterations', serverFirst.replace('4096', '1')],
    ['no number of iterations', serverFirst.replace('4096', 'many')],
    ['no salt', serverFirst.replace(/s=[^,]*/, 's=')],
  ])('refuses %s', async (_, message) => {
    await expect(start().final(message)).rejects.toMatchObject({ code: 'AUTH_FAILED', retriable: false });
  });

  test('refuses a server that does not know the password', async () => {
    const scram = start();
    await scram.final(serverFirst);
    expect(() => scram.verify('v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')).toThrow(/does not know the password/);
    expect(() => scram.verify('e=other-error')).toThrow(/other-error/);
  });

  test('escapes what has a meaning in a user name', () => {
    expect(new Scram('sha512', 'a=b,c', 'x', 'n').first()).toBe('n,,n=a=3Db=2Cc,r=n');
  });
});
