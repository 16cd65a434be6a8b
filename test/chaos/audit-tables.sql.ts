/**
 * The user's tables, and what looks at them from outside: triggers that write down every change of an owner, of a token and of who has
 * one, and one that
 * waits, breaks off or ends its own connection inside of a claim, when the session's setting `chaos.inside` says so.
 * A trigger runs under the row's lock, so the numbers of each log are in commit order for each row.
 */
export const AUDIT_TABLES_SQL = `
create table voucher_item (id bigint primary key, code text not null unique, user_id text);
create index voucher_item_free on voucher_item (id) where user_id is null;
create table fenced_writes (
  n bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
  resource text not null, claimant text not null, token bigint not null, completes boolean not null, message text not null);
create index fenced_writes_message on fenced_writes (message) where completes;
create table owner_log (
  n bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
  resource text not null, was text, became text);
create table token_log (
  n bigint generated always as identity primary key, at timestamptz not null default clock_timestamp(),
  resource text not null, claimant text not null, token bigint not null, status text not null, holder text, attempt int);

create function log_owner() returns trigger language plpgsql as $$
begin
  insert into owner_log (resource, was, became) values ('voucher_item:' || new.id, old.user_id, new.user_id);
  return new;
end $$;
create trigger log_owner after update of user_id on voucher_item for each row execute function log_owner();

create function log_claim() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and (new.token, new.status, new.holder) is not distinct from (old.token, old.status, old.holder) then
    return new;
  end if;
  insert into token_log (resource, claimant, token, status, holder, attempt)
  values ('voucher_item:' || coalesce(new.resource_id, case when tg_op = 'UPDATE' then old.resource_id end),
    new.claimant, new.token, new.status, new.holder, new.attempt);
  return new;
end $$;
create trigger log_claim after insert or update on exclaim.claims for each row execute function log_claim();

create function log_lease() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and (new.token, new.status, new.holder) is not distinct from (old.token, old.status, old.holder) then
    return new;
  end if;
  insert into token_log (resource, claimant, token, status, holder)
  values (new.resource || ':' || new.key, new.key, new.token, new.status, new.holder);
  return new;
end $$;
create trigger log_lease after insert or update on exclaim.leases for each row execute function log_lease();

create function chaos_inside() returns trigger language plpgsql as $$
declare
  said text[] := string_to_array(coalesce(current_setting('chaos.inside', true), ''), '/');
begin
  if said[1] is distinct from tg_argv[0] then return new; end if;
  perform set_config('chaos.inside', '', false);
  raise notice 'chaos reached %', said[1];
  if said[2] = 'raise' then raise exception 'planted at %', said[1] using errcode = 'serialization_failure'; end if;
  if said[2] = 'terminate' then perform pg_terminate_backend(pg_backend_pid()); end if;
  perform pg_sleep(said[3]::float8 / 1000);
  return new;
end $$;
create trigger chaos_f4 before insert or update of token on exclaim.claims for each row execute function chaos_inside('F4');
create trigger chaos_f4 before insert or update of token on exclaim.leases for each row execute function chaos_inside('F4');
create trigger chaos_f5 before update of user_id on voucher_item
  for each row when (new.user_id is not null) execute function chaos_inside('F5');
create trigger chaos_f6 after update of user_id on voucher_item
  for each row when (new.user_id is not null) execute function chaos_inside('F6');
`;

/** The triggers of the audit, each with the table that it watches: without one of them a run would look well and show nothing. */
export const AUDIT_TRIGGERS: readonly string[] = [
  "log_claim on exclaim.claims",
  "log_lease on exclaim.leases",
  "log_owner on voucher_item",
];

/** Those that are there and fire, named as above. */
export const AUDIT_TRIGGERS_SQL = `
select tgname || ' on ' || tgrelid::regclass as name from pg_trigger
where not tgisinternal and tgenabled = 'O' and tgname like 'log\\_%' order by 1`;
