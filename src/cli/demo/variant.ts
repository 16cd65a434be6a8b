/** The three handlers that are compared; the keys of the JSON report. */
export const VARIANTS = ["naive", "lockAfterRead", "withClaim"] as const;

export type Variant = (typeof VARIANTS)[number];

/** What people call them. */
export const TITLES: Readonly<Record<Variant, string>> = {
  naive: "read, then update",
  lockAfterRead: "lock after the read",
  withClaim: "withClaim()",
};

/** The database schemas of one run. */
export interface Schemas {
  /** The CSV file as it was read. */
  readonly imported: string;
  /** BullMQ's own tables, where it runs on PostgreSQL. */
  readonly queue: string;
  /** exclaim's ledger. */
  readonly ledger: string;
  /** Each handler's own users, vouchers and notifications. */
  readonly variants: Readonly<Record<Variant, string>>;
}

/** Shape: `prefix` is a lower-case identifier that nobody else uses. */
export function schemasOf(prefix: string): Schemas {
  return {
    imported: `${prefix}_imported`,
    queue: `${prefix}_queue`,
    ledger: `${prefix}_ledger`,
    variants: {
      naive: `${prefix}_naive`,
      lockAfterRead: `${prefix}_lock_after_read`,
      withClaim: `${prefix}_with_claim`,
    },
  };
}
