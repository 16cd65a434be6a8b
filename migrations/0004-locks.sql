-- The lease rows of the lock back-end postgres(): who holds which key, and until when.
--
-- Run by migrate() inside one transaction with search_path set to exclaim's schema; names here are unqualified on purpose.
--
-- States of a key:
--
--     free: no row --acquire--> one exclusive owner --release--> free
--                  --acquire--> shared owners, each with an end of its own --the last one's release--> free
--
-- A lease that ran out holds nothing: whoever acquires the key next takes its place in the row.
--
-- Invariants:
--   an owner whose end has passed is none, whether or not it is still listed;
--   an exclusive key lists one owner (a check: no statement, however wrong, makes two);
--   no listed end is after leased_until: a row whose leased_until has passed may be deleted by anybody.
--
-- Why all owners of a key are in its one row: whatever changes who holds a key then meets the others at one row lock, and reads the row
-- as they left it. With a row each, two owners that take a key at once write two rows and miss each other, and a second lock must be
-- found to keep them apart. The price: shared owners of one key are written one after another.
--
-- Why functions: deciding takes several looks at the row, in one statement for the client, since a pooler may lead the next one
-- elsewhere; and their plans are kept by the connection, which more than doubles how many locks a second can be taken.
--
-- What they lock: one row, but extend_locks, which goes by the order of the hashes, and the back-end's sweep, which skips what
-- others have locked. So none of them waits in a circle. Above READ COMMITTED the server may refuse one (40001), which then did nothing.
--
-- No index on leased_until: with one, an extension would write the indexes too. The sweep looks at neighbours of a random hash.

create table locks (
  key_hash     bytea         not null primary key check (length(key_hash) = 32),  -- SHA-256 of the key, which may be long
  key          text          not null,                                            -- for people: cut, and escaped where it is no text
  mode         text          not null check (mode in ('exclusive', 'shared')),
  owners       text[]        not null,                                            -- random per acquisition
  ends         timestamptz[] not null,                                            -- of each owner's lease, by this server's clock
  leased_until timestamptz   not null,
  watched      boolean       not null,                                            -- whoever frees the key notifies
  check (cardinality(owners) > 0 and cardinality(owners) = cardinality(ends)),
  check (mode = 'shared' or cardinality(owners) = 1)
) with (fillfactor = 70);  -- room on the page lets extensions be heap-only updates

-- Takes a key for an owner, or tells for how long others have it. An owner that has it already gets its whole ttl anew.
-- Input: the key's hash and text, 'exclusive' or 'shared', the owner, its ttl in ms, whether to notify once the key is free.
-- Output: won; if not, left_ms: the longest lease in the way, in ms, at least 1.
create function acquire_lock(of_key bytea, key_text text, in_mode text, by_owner text, ttl_ms float8, watch boolean,
                             out won boolean, out left_ms float8)
language plpgsql as $$
declare
  found_row locks;
  is_locked boolean := false;
  in_the_way timestamptz;
  own_end timestamptz;
begin
  won := true;
  loop
    -- Without a lock first: a crowd before a held key writes nothing and waits for nobody. Locking and looking are one statement: a
    -- row that came in between would be taken for locked.
    if is_locked then
      select * into found_row from locks where key_hash = of_key for update;
    else
      select * into found_row from locks where key_hash = of_key;
    end if;
    own_end := clock_timestamp() + ttl_ms * interval '1 millisecond';
    if not found then
      insert into locks (key_hash, key, mode, owners, ends, leased_until, watched)
      values (of_key, key_text, in_mode, array[by_owner], array[own_end], own_end, watch)
      on conflict do nothing;
      exit when found;
      continue;
    end if;
    select max(h.ends) into in_the_way from unnest(found_row.owners, found_row.ends) as h (owner, ends)
    where h.owner <> by_owner and h.ends > clock_timestamp() and 'exclusive' in (found_row.mode, in_mode);
    if in_the_way is null and is_locked then
      update locks set (mode, owners, ends, leased_until, watched) = (
        select in_mode, array_agg(h.owner), array_agg(h.ends), max(h.ends), found_row.watched or watch
        from (
          select * from unnest(found_row.owners, found_row.ends) as other (owner, ends)
          where in_mode = 'shared' and owner <> by_owner and ends > clock_timestamp()
          union all
          select by_owner, own_end
        ) as h
      ) where key_hash = of_key;
      exit;
    end if;
    if in_the_way is not null and (found_row.watched or not watch or is_locked) then
      won := false;
      left_ms := greatest(1, ceil(extract(epoch from in_the_way - clock_timestamp()) * 1000));
      -- Under the row's lock: whoever frees the key does it after this, and sees it.
      if watch and not found_row.watched then
        update locks set watched = true where key_hash = of_key;
      end if;
      exit;
    end if;
    is_locked := true;
  end loop;
end
$$ set search_path from current;

-- Lets leases that are still held last a whole ttl from now.
-- Input: hashes, owners and ttls in ms, as many of each. Output: for each, in its place, whether it was held.
create function extend_locks(of_keys bytea[], by_owners text[], ttls_ms float8[]) returns boolean[]
language plpgsql as $$
declare
  answers boolean[] := '{}';
  asked record;
  own_end timestamptz;
begin
  for asked in
    select * from unnest(of_keys, by_owners, ttls_ms) with ordinality as a (of_key, by_owner, ttl_ms, place) order by of_key
  loop
    own_end := clock_timestamp() + asked.ttl_ms * interval '1 millisecond';
    update locks set ends[array_position(owners, asked.by_owner)] = own_end, leased_until = greatest(leased_until, own_end)
    where key_hash = asked.of_key and ends[array_position(owners, asked.by_owner)] > clock_timestamp();
    answers[asked.place] := found;
  end loop;
  return answers;
end
$$ set search_path from current;

-- Takes an owner off a key, and notifies who waits when that frees it. Output: whether the owner still held it.
create function release_lock(of_key bytea, by_owner text) returns boolean
language plpgsql as $$
declare
  found_row locks;
  other_owners text[];
  other_ends timestamptz[];
begin
  select * into found_row from locks where key_hash = of_key and by_owner = any (owners) for update;
  if not found then return false; end if;
  select array_agg(h.owner), array_agg(h.ends) into other_owners, other_ends
  from unnest(found_row.owners, found_row.ends) as h (owner, ends) where h.owner <> by_owner and h.ends > clock_timestamp();
  if other_owners is not null then
    update locks set owners = other_owners, ends = other_ends where key_hash = of_key;
  else
    delete from locks where key_hash = of_key;
    if found_row.watched then
      perform pg_notify('exclaim_locks', encode(of_key, 'hex'));
    end if;
  end if;
  return found_row.ends[array_position(found_row.owners, by_owner)] > clock_timestamp();
end
$$ set search_path from current;
