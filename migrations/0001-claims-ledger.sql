-- The ledger of pool claims: who has which row of whose table.
--
-- Run by migrate() inside one transaction with search_path set to exclaim's schema; names here are unqualified on purpose.
--
-- States of a claim, one row for each (pool, scope, claimant):
--
--     (none) --claim--> held --complete--> completed
--                        |  --fail-------> failed      the claimant keeps the row for its retry
--                        |  --release----> released    the row went back to the pool
--                        +  lease over:   still held, but the claimant's next claim takes it over
--
-- Invariants:
--   a resource is named by at most one claim of its pool (unique index claims_resource);
--   a claimant has at most one claim in a pool and scope (primary key);
--   token grows by one each time a claim becomes held, also when a released resource is claimed again (released_tokens).
--
-- What a statement locks: a takeover, a completion and a release lock the claim FOR UPDATE; a renewal locks it FOR NO KEY
-- UPDATE; a fenced transaction FOR KEY SHARE. So a fenced transaction keeps a takeover out until it commits and lets its own
-- renewals through.

create table claims (
  pool         text        not null,                       -- the user's table as "schema.table"
  scope        text        not null,                       -- canonical JSON of the scope's column values, '{}' for none
  claimant     text        not null,                       -- text of the value in the owner column's own type
  resource_id  text,                                       -- text of the row's id; null once released
  token        bigint      not null check (token > 0),     -- fencing token of the resource
  status       text        not null check (status in ('held', 'completed', 'failed', 'released')),
  attempt      integer     not null check (attempt > 0),   -- how often this claim was worked on
  holder       text        not null,                       -- random per acquisition: recognises a claim whose answer was lost
  leased_until timestamptz,                                -- by this server's clock; null unless held
  message_id   text,                                       -- the broker's id of the message that claimed last
  result       json,                                       -- what a replay returns, byte for byte as it was stored
  previous     jsonb,                                      -- text of the columns that "set" overwrote, for the release
  claimed_at   timestamptz not null default clock_timestamp(),
  ended_at     timestamptz,
  -- The claimant leads: with it a look-up is one row whatever the planner believes of a table it has no statistics of yet.
  primary key (claimant, scope, pool),
  check ((resource_id is null) = (status = 'released')),
  check ((leased_until is not null) = (status = 'held'))
) with (fillfactor = 80);  -- room on the page lets completions and renewals be heap-only updates

-- One claim a resource (S1), whatever else fails. Also finds the claim of a row.
create unique index claims_resource on claims (pool, resource_id) where resource_id is not null;

-- The newest token of each resource that went back to its pool: the next claim continues above it (S3).
create table released_tokens (
  pool        text   not null,
  resource_id text   not null,
  token       bigint not null check (token > 0),
  primary key (pool, resource_id)
);

-- The last tokens of rows that are locked by the statement that asks. Volatile, hence a snapshot of its own: it sees a release
-- that committed after that statement began and before it locked the row, which the statement itself would miss.
create function last_released_tokens(of_pool text, ids text[]) returns table (resource_id text, token bigint)
language plpgsql volatile rows 10 as $$
#variable_conflict use_column
begin
  return query select t.resource_id, t.token from released_tokens t where t.pool = of_pool and t.resource_id = any (ids);
end
$$ set search_path from current;

-- Raised inside the claim statement when the user's table did not take the owner as it was given (a trigger that returns null or
-- writes another, a row policy), or took it in more than one row (an id that is not unique): the whole statement must then not have
-- happened.
create function refuse_unwritten_row(resource_id text, written bigint) returns boolean
language plpgsql as $$
begin
  if written > 1 then
    raise exception 'the pool row % was chosen and % rows were written', resource_id, written
      using errcode = 'EX001', hint = 'the id column must be unique over the whole table';
  end if;
  raise exception 'the pool row % was chosen but could not be written', resource_id
    using errcode = 'EX001', hint = 'a trigger or row policy of the pool table keeps the owner column from being written';
end
$$;

-- The text of a value whose type would read otherwise in a session with another TimeZone, DateStyle or bytea_output: what two
-- processes write as a key must be one text. Used for such types only; the settings keep it from being inlined.
create function stable_text(given anyelement) returns text
language sql stable
set timezone = 'UTC' set datestyle = 'ISO, YMD' set intervalstyle = 'postgres'
set bytea_output = 'hex' set extra_float_digits = 1 set lc_monetary = 'C'
as $$ select given::text $$;
