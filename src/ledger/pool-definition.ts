/** A plain value of a column: what a parameter of the database driver can be. */
export type ColumnValue = string | number | bigint | boolean | Date | Buffer | object;

/** Column values that select a subset of a pool, e.g. `{ campaign_id: 42 }`. A null or undefined value is refused. */
export type Scope = Readonly<Record<string, ColumnValue>>;

/**
 * A table of the user's own whose rows are interchangeable resources.
 * Every name is checked against the catalog on first use and quoted from there; nothing here is ever taken from a message.
 */
export interface PoolDefinition {
  /** `table` or `schema.table`, in the spelling of the catalog; parts that hold a dot are double-quoted. */
  readonly table: string;
  /**
   * The nullable column that names the owner: null is free, written with the claimant.
   * A table without one relies on `where` and `set` alone.
   * @default none
   */
  readonly ownerColumn?: string;
  /**
   * The column that identifies a row: the primary key or another unique, not null column of a single column.
   * @default the primary key
   */
  readonly idColumn?: string;
  /**
   * What else must hold for a row to be free: equality by column, or SQL over the table's own columns (`"valid_until > now()"`).
   * SQL is part of your program and is used as it stands: never build it from a message.
   * @default nothing
   */
  readonly where?: string | Readonly<Record<string, ColumnValue | null>>;
  /**
   * Also written when a row is claimed, and put back to what it was when the row is released.
   * @default nothing
   */
  readonly set?: Readonly<Record<string, ColumnValue | null>>;
  /**
   * Columns that decide which free row goes first: `"id"`, `"priority desc, id"`. Unordered is faster.
   * @default any order
   */
  readonly orderBy?: string;
}
