import { MillstreamError } from '../base/errors.ts';

const LEGAL = /^[a-zA-Z0-9._-]+$/;
const MAX_LENGTH = 249;

/** Kafka's rules for topic names; throws kind `invalid`, code INVALID_TOPIC_EXCEPTION. */
export function checkTopicName(name: string): void {
  const refuse = (why: string): never => {
    throw new MillstreamError('invalid', 'INVALID_TOPIC_EXCEPTION', `Topic name ${JSON.stringify(name)} ${why}.`);
  };
  if (name === '') refuse('is empty');
  if (name === '.' || name === '..') refuse("must not be '.' or '..'");
  if (name.length > MAX_LENGTH) refuse(`is longer than ${MAX_LENGTH} characters`);
  if (!LEGAL.test(name)) refuse("may hold only ASCII letters, digits, '.', '_' and '-'");
}

/** Kafka refuses two names that differ only in '.' and '_', because they are one name in its metrics. */
export function collisionKey(name: string): string {
  return name.replaceAll('.', '_');
}
