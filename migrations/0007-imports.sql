-- Bulk imports: how far each has come, and what became of each of its rows.
--
-- Run by migrate() inside one transaction with search_path set to exclaim's schema; names here are unqualified on purpose.
--
-- States of an import:
--
--     (none) --begin--> running --all rows are with the broker--> published      finished once no row of it is pending
--                         |  --stop: a signal, a shutdown-------> stopped   --begin--> running (run + 1)
--                         |  --cancel---------------------------> cancelled --begin--> running (run + 1)
--                         |  --it broke, too many rejected------> failed    --begin--> running (run + 1)
--                         +  its process died: still running               --begin--> running (run + 1)
--
-- States of a row:
--
--     (none) --recorded, then published--> pending --> claimed | replayed | refused | dead-lettered
--                                                      refused and dead-lettered --delivered again--> any of these
--
-- Invariants:
--   a row is recorded before its message is published, so that its outcome always finds it;
--   each row of the source that was read is in import_rows or in import_rejects: rows = the two counted together;
--   only the newest run of an import moves it (fencing: run grows with every begin);
--   the first `position` rows of the source are with the broker or rejected, also after a crash: what comes again is at most what was
--   recorded behind it, under the same message ids;
--   claimed and replayed are for good.

create table imports (
  id           text        primary key check (id ~ '^[A-Za-z0-9_.-]{1,64}$'),
  source       text        not null,              -- for people: a file's name
  target       text        not null,              -- for people: where its messages go
  fingerprint  text,                              -- of the source; null: resuming does not compare
  settings     json,                              -- what it was begun with, for whoever resumes it; never a secret
  status       text        not null check (status in ('running', 'published', 'stopped', 'cancelled', 'failed')),
  run          bigint      not null check (run > 0),
  rows         bigint      not null default 0,    -- rows of the source that are recorded
  position     bigint      not null default 0,    -- rows of the source that are with the broker or rejected, counted from its start
  reason       text,                              -- why it stopped or failed
  created_at   timestamptz not null default clock_timestamp(),
  updated_at   timestamptz not null default clock_timestamp(),
  published_at timestamptz,
  check (position <= rows),
  check ((published_at is not null) = (status = 'published'))
) with (fillfactor = 80);

create table import_rows (
  import_id   text   not null,
  row_key     text   not null,                    -- as it stands in the message id
  line        bigint not null,                    -- of the file, or the row's number, from 1
  key         text,                               -- what the row itself is called, where the message id cannot hold it
  state       text   not null default 'pending' check (state in ('pending', 'claimed', 'replayed', 'refused', 'dead-lettered')),
  pool        text,                               -- the user's table or the named resource
  resource_id text,                               -- the row or key that was claimed
  code        text,                               -- stable: why it was refused or dead-lettered
  reason      text check (char_length(reason) <= 1000),
  settled_at  timestamptz,                        -- by this server's clock
  primary key (import_id, row_key),
  check ((state = 'pending') = (settled_at is null))
) with (fillfactor = 80);

-- Rows of the source that became no message: invalid, or a key a second time.
create table import_rejects (
  import_id text   not null,
  line      bigint not null,
  key       text,                                 -- null where the row names none
  code      text   not null,                      -- stable: ROW_INVALID, ROW_DUPLICATED, MESSAGE_REFUSED
  reason    text   not null check (char_length(reason) <= 1000),
  primary key (import_id, line)
);
