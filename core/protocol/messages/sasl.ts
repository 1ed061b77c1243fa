import { array, bytes, type Decoded, type Input, int16, int64, message, string } from '../schema.ts';

export const SaslHandshakeRequest = message('SaslHandshakeRequest', '0-1', 'none', { mechanism: string() });
export type SaslHandshakeRequest = Decoded<typeof SaslHandshakeRequest>;

export const SaslHandshakeResponse = message('SaslHandshakeResponse', '0-1', 'none', {
  errorCode: int16(),
  /** What the listener takes. */
  mechanisms: array(string()),
});
export type SaslHandshakeResponse = Decoded<typeof SaslHandshakeResponse>;
export type SaslHandshakeResponseInput = Input<typeof SaslHandshakeResponse>;

export const SaslAuthenticateRequest = message('SaslAuthenticateRequest', '0-2', '2+', { authBytes: bytes() });
export type SaslAuthenticateRequest = Decoded<typeof SaslAuthenticateRequest>;

export const SaslAuthenticateResponse = message('SaslAuthenticateResponse', '0-2', '2+', {
  errorCode: int16(),
  errorMessage: string('0+', { nullable: '0+' }),
  authBytes: bytes(),
  /** KIP-368: after so long the connection must authenticate anew; 0: never. */
  sessionLifetimeMs: int64('1+', { default: 0 }),
});
export type SaslAuthenticateResponse = Decoded<typeof SaslAuthenticateResponse>;
export type SaslAuthenticateResponseInput = Input<typeof SaslAuthenticateResponse>;
