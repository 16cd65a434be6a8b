import type pg from "pg";

/** What came of one handler's run: a row of the table, an entry of the JSON report. */
export interface Score {
  /** Users that the file names, each once. */
  readonly users: number;
  /** Rows of the pool. */
  readonly vouchers: number;
  /** Messages published. */
  readonly delivered: number;
  /** Users who own no voucher. */
  readonly withoutVoucher: number;
  /** Vouchers given to more than one user. */
  readonly overwritten: number;
  /** Users notified of a voucher that is not theirs. */
  readonly notifiedWrong: number;
  /** Users who own two vouchers or more, or were notified of two. */
  readonly doubled: number;
  /** Messages that neither completed nor failed, and those whose user got nothing, not even a failure. */
  readonly lost: number;
  /** From the first message published to the last one settled. */
  readonly ms: number;
}

type Faults = Pick<Score, "withoutVoucher" | "overwritten" | "notifiedWrong" | "doubled" | "lost">;

const COUNT = `
  select
    (select count(*) from app_user)::integer as "users",
    (select count(*) from voucher_item)::integer as "vouchers",
    (select count(*) from message)::integer as "delivered",

    (select count(*) from app_user u
     where not exists (select from voucher_item v where v.user_id = u.id))::integer as "withoutVoucher",

    (select count(*) from (
       select voucher_id from assignment group by voucher_id having count(distinct user_id) > 1
     ) as given_twice)::integer as "overwritten",

    (select count(distinct n.user_id) from notification n join voucher_item v using (code)
     where v.user_id is distinct from n.user_id)::integer as "notifiedWrong",

    (select count(*) from (
       select user_id from voucher_item where user_id is not null group by user_id having count(*) > 1
       union
       select user_id from notification group by user_id having count(distinct code) > 1
     ) as served_twice)::integer as "doubled",

    (select count(*) from message m
     where m.settled_as is null
        or (not exists (select from voucher_item v where v.user_id = m.user_id)
            and not exists (select from notification n where n.user_id = m.user_id)
            and not exists (select from message f where f.user_id = m.user_id and f.settled_as = 'failed'))
    )::integer as "lost"`;

/** Counts, by SQL over the tables alone, what a handler did. Shape: `client` finds the handler's tables in its search path. */
export async function score(client: pg.ClientBase | pg.Pool, ms: number): Promise<Score> {
  const { rows } = await client.query<Omit<Score, "ms">>(COUNT);
  const counted = rows[0];
  if (counted === undefined) throw new RangeError("a select without a table gave no row");
  return { ...counted, ms: Math.round(ms) };
}

/** Whether every user has exactly one voucher, knows it, and no message is missing. */
export function isClean(faults: Faults): boolean {
  const { withoutVoucher, overwritten, notifiedWrong, doubled, lost } = faults;
  return withoutVoucher + overwritten + notifiedWrong + doubled + lost === 0;
}
