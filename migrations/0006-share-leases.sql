-- What a shared take locks: one function.
--
-- Run by migrate() inside one transaction with search_path set to exclaim's schema; names here are unqualified on purpose.

-- Locks a lease that somebody wants to share: the group of `of_token` by writing to it, and waiting for who has it locked; without a
-- token FOR UPDATE, passing over a lease that is locked. No row: it is locked, gone, or its group is another by now.
--
-- Volatile, hence a snapshot of its own, which the lease's newest version is in. A statement that locks leases by an older snapshot goes
-- through the version of that snapshot, and where a transaction has that one locked FOR KEY SHARE, PostgreSQL (13 to 18) waits for who
-- has locked the newest version: SKIP LOCKED or not, while it keeps others from the old one. Whoever locks the newest version and then
-- updates the lease by an old snapshot meets such a waiter, and both wait for ever. For the rest of such waits, call this for keys in
-- ascending order.
create function lock_to_share(of_resource text, of_key text, of_token bigint, joined_at timestamptz)
returns table (key text, token bigint, status text, leased_until timestamptz, not_before timestamptz)
language plpgsql volatile rows 1 as $$
#variable_conflict use_column
begin
  if of_token is null then
    return query select l.key, l.token, l.status, l.leased_until, l.not_before from leases l
      where key = of_key and resource = of_resource for update skip locked;
  else
    return query update leases l set taken_at = joined_at
      where key = of_key and resource = of_resource and status = 'shared' and token = of_token
      returning l.key, l.token, l.status, l.leased_until, l.not_before;
  end if;
end
$$ set search_path from current;
