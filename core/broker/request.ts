import type { ApiKey, RequestBody, ResponseInput } from '../protocol/api.ts';

/** The other end of a request, as the listener knows it. */
export interface Connection {
  /** As Kafka shows it: "/127.0.0.1". */
  readonly clientHost: string;
  /** Calls back once when the connection is gone. Returns the unsubscribe. */
  onClose(listener: () => void): () => void;
}

export interface RequestContext {
  readonly apiVersion: number;
  readonly clientId: string;
  readonly connection: Connection;
  /** What the listener calls when the answer has left, or not at all when it cannot be sent. */
  readonly whenSent: (() => void)[];
}

/** null: no answer is sent (Produce with acks 0). */
export type Answer<K extends ApiKey> = ResponseInput<K> | null;

export type Handler<K extends ApiKey> = (
  body: RequestBody<K>,
  context: RequestContext,
) => Answer<K> | Promise<Answer<K>>;

export type Handlers = { readonly [K in ApiKey]?: Handler<K> };
