/** An answer of the REST API that is an error; `reason` decides the HTTP status (rest/errors.ts). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly reason: string;
  readonly location: string | null;
  readonly status: number | null;

  constructor(reason: string, message: string, extra: { location?: string; status?: number } = {}) {
    super(message);
    this.reason = reason;
    this.location = extra.location ?? null;
    this.status = extra.status ?? null;
  }
}

/** A value that a column cannot take; the message is BigQuery's, as near as it is known. */
export class ValueError extends Error {
  override readonly name = 'ValueError';
  /** The column's path in the row. */
  readonly location: string;

  constructor(location: string, message: string) {
    super(message);
    this.location = location;
  }
}
