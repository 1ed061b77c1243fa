import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { MillstreamError } from '../base/errors.ts';

/*
 * SCRAM (RFC 5802, RFC 7677) as Kafka speaks it (KIP-84): no channel binding, user names and passwords as UTF-8 without
 * SASLprep.
 *   client  n,,n=user,r=nonce
 *   server  r=nonce+theirs,s=salt,i=iterations
 *   client  c=biws,r=nonce+theirs,p=proof
 *   server  v=signature      (or e=error)
 */
export type ScramHash = 'sha256' | 'sha512';

const derive = promisify(pbkdf2);
const GS2_HEADER = 'n,,';
/** Fewer would make guessing cheap; Kafka's own least. */
const MIN_ITERATIONS = 4096;
/** More would let a false server keep us busy. */
const MAX_ITERATIONS = 10_000_000;

/** One exchange of one client. */
export class Scram {
  private readonly hash: ScramHash;
  private readonly password: string;
  private readonly nonce: string;
  private readonly firstBare: string;
  private serverSignature: Buffer | null = null;

  /** `nonce`: printable ASCII without commas, never used before. */
  constructor(hash: ScramHash, username: string, password: string, nonce: string) {
    this.hash = hash;
    this.password = password;
    this.nonce = nonce;
    this.firstBare = `n=${username.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  }

  first(): string {
    return GS2_HEADER + this.firstBare;
  }

  /** The proof that we know the password. Throws kind `unavailable`, code AUTH_FAILED. */
  async final(serverFirst: string): Promise<string> {
    const said = attributes(serverFirst);
    const [nonce, salt, iterations] = [said.get('r') ?? '', said.get('s') ?? '', Number(said.get('i'))];
    if (!nonce.startsWith(this.nonce) || nonce === this.nonce || salt === '') throw refused('its nonce is not ours');
    if (!(iterations >= MIN_ITERATIONS && iterations <= MAX_ITERATIONS)) {
      throw refused(`it wants ${iterations} iterations, not ${MIN_ITERATIONS} to ${MAX_ITERATIONS}`);
    }
    const { hash } = this;
    const bytes = hash === 'sha256' ? 32 : 64;
    const salted = await derive(this.password, Buffer.from(salt, 'base64'), iterations, bytes, hash);
    const clientKey = this.hmac(salted, 'Client Key');
    const storedKey = createHash(hash).update(clientKey).digest();
    const withoutProof = `c=${Buffer.from(GS2_HEADER).toString('base64')},r=${nonce}`;
    const authMessage = `${this.firstBare},${serverFirst},${withoutProof}`;
    const signature = this.hmac(storedKey, authMessage);
    this.serverSignature = this.hmac(this.hmac(salted, 'Server Key'), authMessage);
    const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] as number)));
    return `${withoutProof},p=${proof.toString('base64')}`;
  }

  /** Checks that the server knows the password too. Throws kind `unavailable`, code AUTH_FAILED. */
  verify(serverFinal: string): void {
    const said = attributes(serverFinal);
    const error = said.get('e');
    if (error !== undefined) throw refused(error);
    const theirs = Buffer.from(said.get('v') ?? '', 'base64');
    const ours = this.serverSignature;
    if (!ours || theirs.length !== ours.length || !timingSafeEqual(theirs, ours)) {
      throw refused('it does not know the password itself: it is not the server it says it is');
    }
  }

  private hmac(key: Uint8Array, text: string): Buffer {
    return createHmac(this.hash, key).update(text).digest();
  }
}

function attributes(message: string): Map<string, string> {
  return new Map(message.split(',').map(each => [each.slice(0, 1), each.slice(2)]));
}

function refused(why: string): MillstreamError {
  return new MillstreamError('unavailable', 'AUTH_FAILED', `the server's SCRAM message is refused: ${why}`, {
    retriable: false,
  });
}
