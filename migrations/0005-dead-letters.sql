-- The dead letters: which messages were given up for good, and why. A broker may keep the message and not the reason: RabbitMQ's nack
-- carries none.
--
-- Run by migrate() inside one transaction with search_path set to exclaim's schema; names here are unqualified on purpose.
--
-- A row is written before the broker is told, so that no message is dead-lettered without one. States of a message, by queue and id:
--
--     (none) --note--> times 1 --note--> times 2 ...        the row tells of the last time; first_at stays
--
-- It is noted again when somebody put it back into its queue, and when the process died before the broker was told: then the broker
-- delivers it again, and it was dead-lettered once though times says 2. A row is a record and decides nothing.
--
-- Invariants:
--   a message with an id has one row in its queue, also where two processes note it at once (unique index dead_letters_message);
--   a message without an id has a row each time: nothing tells two of them apart;
--   asking again under the same note changes nothing, so that a lost answer is neither counted twice nor makes a second row.
--
-- Either pool or resource is set, and claimant holds the claimant or the key. Two columns where the outbox has a kind: people search by
-- pool, and a resource that bears a table's name is not found among its messages.

create table dead_letters (
  id         bigint      generated always as identity primary key,
  note       text        not null,             -- random per call: recognises a note whose answer was lost
  queue      text        not null,
  message_id text,                             -- the broker's id of the message; null where it has none
  pool       text,                             -- the user's table as the pool's definition names it
  resource   text,                             -- the name given to exclaim.resource()
  claimant   text,                             -- or the key; null where the message names none
  code       text        not null,             -- stable: an ExclaimError's code, or HANDLER_ERROR for what a handler threw
  reason     text        not null check (char_length(reason) <= 1000),
  times      integer     not null default 1 check (times > 0),
  first_at   timestamptz not null default clock_timestamp(),  -- by this server's clock
  last_at    timestamptz not null default clock_timestamp(),
  check (num_nonnulls(pool, resource) = 1)
);

-- One row a message, whoever notes it.
create unique index dead_letters_message on dead_letters (queue, message_id) where message_id is not null;

-- Recognises a note of a message that has no id to be recognised by.
create unique index dead_letters_note on dead_letters (note) where message_id is null;

-- What people read: the newest of a queue first.
create index dead_letters_newest on dead_letters (queue, last_at desc);

-- Forgets messages that were not dead-lettered within `older_than`, at most `at_most` in one call, and says how many. For whoever keeps
-- house: call it again until it says 0. Told null, it forgets nothing.
create function forget_dead_letters(older_than interval, at_most integer default 10000) returns bigint
language plpgsql volatile strict as $$
declare
  before    timestamptz := clock_timestamp() - older_than;
  forgotten bigint;
begin
  -- Locked by a subquery of its own, which looks at each row once more: one that is noted at this moment stays.
  delete from dead_letters where id = any (array(
    select d.id from dead_letters d where d.last_at < before limit at_most for update skip locked));
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$ set search_path from current;
