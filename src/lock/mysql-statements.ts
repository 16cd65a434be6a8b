/**
 * What the server is asked of lease rows. Each is one statement, so that no isolation level, old snapshot or pooler between two of
 * them matters; what is decided, is decided under the row's lock, by the server's clock in UTC.
 *
 * A row is a key somebody has, or had until `leased_until`. Input: hashes and owners in hexadecimal, times in whole microseconds.
 * What a statement came to is told by its affected rows, or, where those count differently from driver to driver, by what it gave
 * to last_insert_id().
 */

/** The table's name for SQL: `table`, or `schema.table`. Undefined when it is none. */
export function quoteTable(name: string): string | undefined {
  const parts = name.split(".");
  if (parts.length > 2 || !name.isWellFormed()) return undefined;
  if (parts.some((part) => part === "" || part.length > 64 || part.includes("\0"))) return undefined;
  return parts.map((part) => `\`${part.replaceAll("`", "``")}\``).join(".");
}

/** Owners longer than this are cut, or refused, by the server. */
export const MAX_OWNER_BYTES = 255;
/** Of the text that is for people. */
export const MAX_KEY_TEXT = 255;

/** `if not exists` makes it safe for many at once. A table that is there already is taken as it is. */
export function createTable(table: string): string {
  return `create table if not exists ${table} (
  key_hash binary(32) not null primary key comment 'SHA-256 of the key, which may be long',
  key_text varchar(${MAX_KEY_TEXT}) character set utf8mb4 not null comment 'for people: cut',
  owner varbinary(${MAX_OWNER_BYTES}) not null comment 'random per acquisition',
  leased_until datetime(6) not null comment 'UTC, by the clock of this server'
) engine=InnoDB comment='who holds which lock of exclaim'`;
}

/**
 * Takes the key unless somebody else has it. Running it again for the same owner changes only the end.
 * Came to (last_insert_id): 0 or 1, it is the owner's; else 1 more than the ms that the holder has left.
 * Both assignments ask the same of the row: whether the second one sees what the first one did depends on the server's mode.
 */
export function acquire(table: string, row: { hash: string; text: string; owner: string; ttlUs: number }): string {
  const { hash, text, owner, ttlUs } = row;
  const isOurs = `owner = x'${owner}' or leased_until <= utc_timestamp(6)`;
  const end = `utc_timestamp(6) + interval ${ttlUs} microsecond`;
  const leftMs = "(timestampdiff(microsecond, utc_timestamp(6), leased_until) + 999) div 1000";
  return `insert into ${table} (key_hash, key_text, owner, leased_until)
values (x'${hash}', convert(x'${text}' using utf8mb4), x'${owner}', ${end})
on duplicate key update
  owner = if(last_insert_id(if(${isOurs}, 1, 1 + ${leftMs})) = 1, x'${owner}', owner),
  leased_until = if(${isOurs}, ${end}, leased_until)`;
}

/** Lets a lease that is still held last from now. Came to (last_insert_id): 1, it was held; else 0. */
export function extend(table: string, row: { hash: string; owner: string; ttlUs: number }): string {
  const { hash, owner, ttlUs } = row;
  return `update ${table} set leased_until = utc_timestamp(6) + interval if(last_insert_id(1) = 1, ${ttlUs}, 0) microsecond
where key_hash = x'${hash}' and owner = x'${owner}' and leased_until > utc_timestamp(6)`;
}

/**
 * The same for many of one ttl. Came to (affected rows): as many as were held.
 * The primary key is forced: rows are then locked in its order, by everybody, and no others are.
 */
export function extendAll(table: string, rows: readonly { hash: string; owner: string }[], ttlUs: number): string {
  const hashes = rows.map(({ hash }) => `x'${hash}'`).join(", ");
  const pairs = rows.map(({ hash, owner }) => `x'${hash}${owner}'`).join(", ");
  return `update ${table} force index (primary) set leased_until = utc_timestamp(6) + interval ${ttlUs} microsecond
where key_hash in (${hashes}) and concat(key_hash, owner) in (${pairs}) and leased_until > utc_timestamp(6)`;
}

/** Came to (affected rows): 1, it was the owner's and is free; else 0. */
export function release(table: string, row: { hash: string; owner: string }): string {
  return `delete from ${table} where key_hash = x'${row.hash}' and owner = x'${row.owner}' and leased_until > utc_timestamp(6)`;
}

/** Deletes what ran out and nobody met, among the keys that follow a hash. */
export function sweep(table: string, fromHash: string, atMost: number): string {
  return `delete ${table} from ${table} join (
  select key_hash from ${table} where key_hash >= x'${fromHash}' order by key_hash limit ${atMost}
) as neighbours on ${table}.key_hash = neighbours.key_hash where ${table}.leased_until <= utc_timestamp(6)`;
}
