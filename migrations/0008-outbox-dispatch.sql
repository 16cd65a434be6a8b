-- Dispatching the outbox: which of its rows are due, which are put off, and which are set aside for people.
--
-- Run by migrate() inside one transaction with search_path set to exclaim's schema; names here are unqualified on purpose.
--
-- States of a row:
--
--     waiting --sent--------------------------------------------------> sent     forgotten after a while
--        |  ^----refused: attempts + 1, waits until next_at
--        +------refused for the last time-----------------------------> parked   --retried--> waiting, attempts 0
--
--     waiting: published_at and parked_at are null      sent: published_at is set      parked: parked_at and reason are set
--
-- Invariants:
--   a row exists only if the transaction that published it committed, and is sent only after that;
--   whoever sends a row holds the advisory lock of its partition until it has committed what became of it: nobody else sends it then;
--   a row's partition is one of 64, by a hash of its kind, pool, scope and claimant: rows of one claimant are in one partition;
--   a row is sent only when each earlier one of its claimant to the same destination is sent or parked;
--   attempts counts refusals of this very message; a broker that cannot be reached changes nothing of the row.

drop index outbox_waiting;

alter table outbox
  add column attempts  integer not null default 0,
  add column next_at   timestamptz,                                   -- by this server's clock; null: due at once
  add column parked_at timestamptz,
  add column reason    text,                                          -- of the last refusal
  add check (parked_at is null or (published_at is null and reason is not null)),
  -- Waiting rows are few and change fast: what was sent is to be out of their index soon.
  set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- The first waiting rows of each partition. The one index, beside the key, that an insert pays for. An expression: with a generated
-- column an insert takes the server 20 microseconds instead of 14, and each check of a column takes one more.
create index outbox_waiting on outbox ((hashtextextended(kind || ':' || pool || ':' || scope || ':' || claimant, 0) & 63), position)
  where published_at is null and parked_at is null;
-- Whether an earlier row of a claimant is put off. Empty unless something was refused.
create index outbox_put_off on outbox (claimant, pool, scope, kind, position)
  where next_at is not null and published_at is null and parked_at is null;
-- For people.
create index outbox_parked on outbox (parked_at, id) where parked_at is not null;
-- For forgetting the oldest.
create index outbox_sent on outbox (published_at) where published_at is not null;

-- Forgets what was sent longer than `older_than` ago, at most `at_most` rows in one call, and says how many. Rows that wait or are
-- parked stay. Two callers at once share the work. For whoever keeps house: call it again until it says 0.
create function forget_outbox(older_than interval, at_most integer default 10000) returns bigint
language plpgsql volatile as $$
declare
  forgotten bigint;
begin
  with old as (
    select id from outbox where published_at < clock_timestamp() - greatest(older_than, interval '0')
    order by published_at limit at_most for update skip locked
  )
  delete from outbox o using old where o.id = old.id;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$ set search_path from current;
