-- The outbox: what a fenced transaction published, to be sent once it has committed.
--
-- States of a row: waiting (published_at is null) --sent--> published.
-- Invariants: a row exists only if the transaction that published it committed; position orders the rows of one claimant.

create table outbox (
  id           uuid        primary key default gen_random_uuid(),  -- by it a receiver tells a second delivery
  position     bigint      generated always as identity,
  pool         text        not null,
  scope        text        not null,
  claimant     text        not null,
  token        bigint      not null,
  topic        text        not null,
  payload      json        not null,
  created_at   timestamptz not null default clock_timestamp(),
  published_at timestamptz
);

-- What a dispatcher looks for: waiting rows, oldest first.
create index outbox_waiting on outbox (position) where published_at is null;
