import type pg from "pg";

/**
 * What the test looks at from outside: the user's tables, and triggers that write down every change of an owner and of a token.
 * A trigger runs under the row's lock, so the numbers of the log are in commit order for each row.
 */
export const TABLES_SQL = `
create table voucher_item (
  id bigint primary key, code text not null unique, user_id bigint, revoked boolean not null default false);
create index voucher_item_free on voucher_item (id) where user_id is null;
create table redemption (
  id bigint generated always as identity primary key, user_id bigint not null, voucher_id bigint not null, token bigint not null);
create table owner_log (
  n bigint generated always as identity primary key, voucher_id bigint not null, was bigint, became bigint);
create table token_log (
  n bigint generated always as identity primary key, claimant text, resource_id text, token bigint, was text, became text);

create function log_owner() returns trigger language plpgsql as $$
begin
  insert into owner_log (voucher_id, was, became) values (new.id, old.user_id, new.user_id);
  return new;
end $$;
create trigger log_owner after update of user_id on voucher_item for each row execute function log_owner();

create function log_token() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.token = old.token and new.status = old.status then return new; end if;
  insert into token_log (claimant, resource_id, token, was, became)
  values (new.claimant, coalesce(new.resource_id, case when tg_op = 'UPDATE' then old.resource_id end), new.token,
    case when tg_op = 'UPDATE' then old.status end, new.status);
  return new;
end $$;
create trigger log_token after insert or update on exclaim.claims for each row execute function log_token();
`;

/** Each counts violations of one promise; none may be found. */
const VIOLATIONS: Readonly<Record<string, string>> = {
  "S1 an owner written over another": `
    select count(*) from owner_log where was is not null and became is not null`,
  "S1 a voucher named by two claims, or owned by another than its claim's claimant": `
    select count(*) from voucher_item v full join (select * from exclaim.claims where resource_id is not null) c
      on c.resource_id = v.id::text where v.user_id::text is distinct from c.claimant`,
  "S1 a voucher redeemed for two users": `
    select count(*) from (select voucher_id from redemption group by voucher_id having count(distinct user_id) > 1) x`,
  "S2 a user with two vouchers": `
    select count(*) from (select user_id from voucher_item where user_id is not null group by user_id having count(*) > 1) x`,
  "S2 a user served twice": `
    select count(*) from (select user_id from redemption group by user_id having count(*) > 1) x`,
  "S3 a token that does not grow when its voucher becomes held": `
    select count(*) from (
      select token, lag(token) over (partition by resource_id order by n) as before
      from token_log where became = 'held') x where token <= before`,
  "S4 a redemption under a token other than the claim's last": `
    select count(*) from redemption r join exclaim.claims c on c.claimant = r.user_id::text
    where c.token <> r.token or c.status <> 'completed' or c.resource_id <> r.voucher_id::text`,
  "S5 a completed claim without its redemption, or the other way round": `
    select count(*) from redemption r full join (select * from exclaim.claims where status = 'completed') c
      on c.claimant = r.user_id::text where r.user_id is null or c.claimant is null`,
};

/** The promises that were broken, each with how often. */
export async function violations(database: pg.Pool): Promise<readonly (readonly [promise: string, count: number])[]> {
  const counts = Object.entries(VIOLATIONS).map(
    async ([promise, sql]) => [promise, Number((await database.query(sql)).rows[0].count)] as const,
  );
  return (await Promise.all(counts)).filter(([, count]) => count > 0);
}
