-- The leases of named resources: who has which key, with no table of the user's.
--
-- Run by migrate() inside one transaction with search_path set to exclaim's schema; names here are unqualified on purpose.
--
-- States of a lease, one row for each (resource, key), for ever or until it is forgotten:
--
--     (none) --take--> held --end--> completed        the next take is attempt 1
--                       |   +------> failed           the next take resumes: attempt + 1
--                       +  lease over: still held, but the next take takes it over and resumes: attempt + 1
--     any but held by a live lease --shared take--> shared       until the last sharer's lease is over; then anybody may take
--
-- Invariants:
--   at most one live lease that is not shared for a (resource, key), and none beside live sharers;
--   token grows by one at every arrow that ends in held or shared, also after the row was forgotten (lease_floor);
--   no arrow ends in held or shared before not_before.
--
-- Sharers are rows of their own, not a document in the lease: each is renewed and ended by its own process, and a document would be
-- rewritten whole, and fought over, at every renewal of every reader. What is written of sharers is written under a lock of their
-- lease: joining and taking exclude each other there, while readers renew side by side.
--
-- What a statement locks, as for claims: a take and an end lock the lease FOR UPDATE; a renewal, and joining a group of sharers, FOR NO
-- KEY UPDATE; a fenced transaction, and the renewal and end of one sharer, FOR KEY SHARE. So a fenced transaction keeps a take out
-- until it commits and lets its own renewals through.

create table leases (
  resource     text        not null,                       -- the name given to exclaim.resource()
  key          text        not null,
  token        bigint      not null check (token > 0),     -- fencing token; a group of sharers has one
  status       text        not null check (status in ('held', 'shared', 'completed', 'failed')),
  holder       text,                                       -- random per acquisition: recognises a take whose answer was lost
  leased_until timestamptz,                                -- by this server's clock; null unless held
  attempt      integer     not null check (attempt >= 0),  -- takes since the last that completed; sharing changes nothing of it
  not_before   timestamptz,                                -- nobody takes before this
  rest         interval,                                   -- what must pass after the end, whenever and however it comes
  message_id   text,                                       -- the broker's id of the message that took last
  taken_at     timestamptz not null,                       -- when it was last taken or joined
  ended_at     timestamptz,
  -- The key leads: with it a look-up is one row whatever the planner believes of a table it has no statistics of yet.
  primary key (key, resource),
  check ((leased_until is not null) = (status = 'held')),
  check ((holder is null) = (status = 'shared'))
) with (fillfactor = 80);  -- room on the page lets renewals and ends be heap-only updates

-- Those who share a lease. Gone once ended; a crashed one is gone with the next take of its lease, or once forgotten.
create table lease_sharers (
  resource     text        not null,
  key          text        not null,
  holder       text        not null,
  token        bigint      not null,                       -- of the group: older than the lease's, the row means nothing
  leased_until timestamptz not null,
  message_id   text,
  taken_at     timestamptz not null,
  primary key (key, resource, holder)
) with (fillfactor = 80);

-- The highest token of all leases that were forgotten, in one row: a key that comes back starts above it.
create table lease_floor (
  single boolean primary key default true check (single),
  token  bigint  not null
);
insert into lease_floor (token) values (0);

-- The floor for a key that is about to be added. Volatile, hence a snapshot of its own, and locked until the key is added: a lease that
-- was taken and forgotten since the asking statement began is seen here, and none is forgotten before that statement has ended.
-- No row while leases are being forgotten.
create function last_forgotten_token() returns table (token bigint)
language plpgsql volatile rows 1 as $$
#variable_conflict use_column
begin
  return query select f.token from lease_floor f for key share skip locked;
end
$$ set search_path from current;

-- When the last sharer's lease is over, for a lease that is locked by the statement that asks. Volatile, hence a snapshot of its own: it
-- sees who joined or renewed after that statement began and before it locked the lease. The row locks are for statements that run in a
-- stricter isolation level: there they fail, and are asked again, where the snapshot is too old.
create function shared_until(of_resource text, of_key text, of_token bigint) returns timestamptz
language plpgsql volatile as $$
begin
  return (
    select max(s.leased_until) from (
      select leased_until from lease_sharers where resource = of_resource and key = of_key and token = of_token for share
    ) s
  );
end
$$ set search_path from current;

-- Forgets leases that nobody has, may not yet take, or has had within `older_than`, at most `at_most` in one call, and says how many. For
-- whoever keeps house: call it again until it says 0. An attempt that was never completed is forgotten too, so let `older_than` be
-- longer than a broker goes on delivering. While it runs, keys that are new are told to come back in an instant.
create function forget_leases(older_than interval, at_most integer default 10000) returns bigint
language plpgsql volatile as $$
declare
  before       timestamptz := clock_timestamp() - greatest(older_than, interval '0');
  of_resources text[];
  of_keys      text[];
  forgotten    bigint;
  highest      bigint;
begin
  perform 1 from lease_floor for update;
  select array_agg(i.resource), array_agg(i.key) into of_resources, of_keys from (
    select l.resource, l.key from leases l
    where greatest(l.taken_at, coalesce(l.ended_at, l.leased_until)) < before
      and coalesce(l.not_before, '-infinity') <= clock_timestamp()
      and not exists (
        select 1 from lease_sharers s
        where s.key = l.key and s.resource = l.resource and s.token = l.token and s.leased_until >= before)
    limit at_most
    for update skip locked
  ) i;
  -- With a new snapshot and the leases locked: a sharer may have renewed since.
  delete from lease_sharers s using unnest(of_resources, of_keys) f (resource, key)
  where s.resource = f.resource and s.key = f.key and s.leased_until < before;
  -- Those who crashed in a group that lives on.
  delete from lease_sharers s using (
    select resource, key, holder from lease_sharers where leased_until < before limit at_most for update skip locked
  ) o
  where s.resource = o.resource and s.key = o.key and s.holder = o.holder;
  with gone as (
    delete from leases l using unnest(of_resources, of_keys) f (resource, key)
    where l.resource = f.resource and l.key = f.key
      and not exists (select 1 from lease_sharers s where s.key = l.key and s.resource = l.resource)
    returning l.token
  )
  select count(*), max(g.token) into forgotten, highest from gone g;
  update lease_floor set token = highest where token < highest;
  return forgotten;
end
$$ set search_path from current;

-- A message published under a lease has kind resource: then pool is the resource's name, scope '{}' and claimant the key.
alter table outbox add column kind text not null default 'pool' check (kind in ('pool', 'resource'));
