import { MillstreamError } from '../base/errors.ts';
import { unreachable } from './broker-error.ts';

const NOT_TRUSTED: ReadonlySet<string> = new Set([
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
]);

/** What Node says of a failed connection, by what a person can do about it. Kind `unavailable`. */
export function connectError(address: string, error: unknown): MillstreamError {
  const { code = '', message } = error as Error & { code?: string };
  const refused = (name: string, words: string, help: string): MillstreamError =>
    new MillstreamError('unavailable', name, `${address} ${words}: ${message}`, {
      retriable: false,
      cause: error,
      help,
    });
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return refused(
      'TLS_WRONG_HOST',
      'shows a certificate for another host',
      'Use the name that stands in the certificate.',
    );
  }
  if (NOT_TRUSTED.has(code)) {
    return refused('TLS_NOT_TRUSTED', 'shows a certificate that is not trusted', 'Name the authority that issued it.');
  }
  if (code === 'EPROTO' || code.startsWith('ERR_SSL_')) {
    return refused('TLS_FAILED', 'does not come to terms over TLS', 'Is this a listener with TLS?');
  }
  const isTls = message.includes('secure TLS connection');
  const help = isTls ? { help: 'Is this a listener with TLS?' } : {};
  return unreachable(`cannot reach ${address}: ${message}`, error, help);
}
