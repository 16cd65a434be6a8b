import type pg from "pg";

/** Vouchers in the pool for every user, so that one in twenty may be wasted before somebody goes without. */
const VOUCHERS_PER_USER = 1.05;

/**
 * Makes the tables one handler works on, with equal contents for each: the users, the pool of vouchers, the notifications that
 * were sent and the messages that were published. A trigger logs every user a voucher was given to.
 */
export async function createVariant(client: pg.ClientBase, imported: string, schema: string): Promise<void> {
  await client.query(`
    create schema ${schema};
    set local search_path = ${schema};

    create table app_user (like ${imported}.app_user including all);
    insert into app_user select * from ${imported}.app_user;

    create table voucher_item (
      id      integer generated always as identity primary key,
      code    text not null unique,
      user_id integer
    );
    create index voucher_item_free on voucher_item (id) where user_id is null;
    insert into voucher_item (code)
    select 'V-' || upper(substr(md5('voucher ' || n), 1, 10))
    from generate_series(1, (select ceil(count(*) * ${VOUCHERS_PER_USER})::integer from app_user)) as n;

    create table notification (
      id      integer generated always as identity primary key,
      user_id integer not null,
      code    text not null,
      sent_at timestamptz not null default clock_timestamp(),
      -- Of the message that told of it: a second one tells nobody twice.
      message_id text unique
    );

    create table message (message_id text primary key, user_id integer not null, settled_as text);

    create table assignment (
      id          integer generated always as identity primary key,
      voucher_id  integer not null,
      user_id     integer not null,
      assigned_at timestamptz not null default clock_timestamp()
    );
    create function log_assignment() returns trigger language plpgsql as $$
    begin
      insert into ${schema}.assignment (voucher_id, user_id) values (new.id, new.user_id);
      return null;
    end $$;
    create trigger voucher_item_assigned after update of user_id on voucher_item
      for each row when (new.user_id is not null) execute function log_assignment();
  `);
  await client.query(`analyze ${schema}.app_user, ${schema}.voucher_item`);
}
