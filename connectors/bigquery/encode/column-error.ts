export type ColumnFault = 'NO_SUCH_FIELD' | 'MISSING_FIELD' | 'INVALID_VALUE' | 'ROW_TOO_LARGE';

/** Why a row does not fit the table: which column, and what is wrong there. */
export class ColumnError extends Error {
  readonly code: ColumnFault;
  /** Dotted, with places in arrays: order.items[3].price. */
  readonly path: string;

  constructor(code: ColumnFault, path: string, reason: string) {
    super(reason);
    this.code = code;
    this.path = path;
  }
}
