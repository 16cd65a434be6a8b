/** What Redis is asked, as Lua that runs there. */
import { createHash } from "node:crypto";

export interface Script {
  readonly text: string;
  readonly sha: string;
}

/**
 * Shared by the scripts below. A lock is one key: a string, the owner, when it is held exclusively, or a sorted set of the readers
 * by the instant, in ms of the server's clock, at which their leases end. The set is there exactly as long as one of them reads.
 */
const READERS = `local function now()
  local time = redis.call("TIME")
  return time[1] * 1000 + time[2] / 1000
end
local function forget_ended(key)
  redis.call("ZREMRANGEBYSCORE", key, "-inf", now())
end
local function is_reading(key, owner)
  local ends = redis.call("ZSCORE", key, owner)
  return ends and tonumber(ends) > now()
end
local function end_with_last(key)
  local last = redis.call("ZRANGE", key, -1, -1, "WITHSCORES")
  if last[2] then redis.call("PEXPIREAT", key, last[2]) end
end
local function read_for(key, owner, ttl)
  redis.call("ZADD", key, math.floor(now() + ttl), owner)
  end_with_last(key)
end`;

/**
 * Takes the key for one owner alone.
 * Input: KEYS[1] the key; ARGV[1] the owner; ARGV[2] the ttl in ms, a whole number.
 * Output: "yes", it is the owner's alone for the whole ttl from now; or the ms until it is free, -1 when it never is by itself.
 * Atomicity: one script, so nothing comes between looking and taking. Running it again for the same owner changes only the end. A set
 *   without an end is not of our making and left alone.
 */
export const ACQUIRE = script(`
if redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then return "yes" end
${READERS}
local remaining = redis.call("PTTL", KEYS[1])
if redis.call("TYPE", KEYS[1]).ok == "zset" then
  if remaining == -1 then return remaining end
  forget_ended(KEYS[1])
  local mine = redis.call("ZSCORE", KEYS[1], ARGV[1]) and 1 or 0
  if redis.call("ZCARD", KEYS[1]) > mine then return remaining end
elseif redis.call("GET", KEYS[1]) ~= ARGV[1] then
  return remaining
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return "yes"`);

/**
 * Lets an owner in among the readers of the key.
 * Input, output and atomicity: as above; "yes" means that it is the owner's, and perhaps other readers'.
 */
export const ACQUIRE_SHARED = script(`${READERS}
local kind = redis.call("TYPE", KEYS[1]).ok
local remaining = redis.call("PTTL", KEYS[1])
if kind == "zset" then
  if remaining == -1 then return remaining end
  forget_ended(KEYS[1])
elseif kind ~= "none" then
  if redis.call("GET", KEYS[1]) ~= ARGV[1] then return remaining end
  redis.call("DEL", KEYS[1])
end
read_for(KEYS[1], ARGV[1], ARGV[2])
return "yes"`);

/**
 * Lets keys last for a whole ttl from now, each if it is its owner's. Never makes one: a key that is gone may have been somebody
 * else's since.
 * Input: KEYS the keys; ARGV an owner and a ttl in ms, a whole number, for each.
 * Output: for each 1, it is the owner's; or 0.
 * Atomicity: one script, so the key that was compared is the key that is extended.
 */
export const EXTEND = script(`${READERS}
local answers = {}
for i, key in ipairs(KEYS) do
  local owner, ttl = ARGV[2 * i - 1], ARGV[2 * i]
  local kind = redis.call("TYPE", key).ok
  answers[i] = 0
  if kind == "string" and redis.call("GET", key) == owner then
    answers[i] = redis.call("PEXPIRE", key, ttl)
  elseif kind == "zset" and is_reading(key, owner) then
    read_for(key, owner, ttl)
    answers[i] = 1
  end
end
return answers`);

/**
 * Takes the owner off the key.
 * Input: KEYS[1] the key; ARGV[1] the owner; ARGV[2], if given, the channel on which to tell that the key has become free.
 * Output: 1, it was the owner's; or 0, and nothing has changed.
 * Atomicity: one script, so the key that was compared is the key that is deleted. Who may not publish may release all the same.
 */
export const RELEASE = script(`
local kind = redis.call("TYPE", KEYS[1]).ok
local released = 0
if kind == "string" and redis.call("GET", KEYS[1]) == ARGV[1] then
  released = redis.call("DEL", KEYS[1])
elseif kind == "zset" then
  ${READERS}
  if is_reading(KEYS[1], ARGV[1]) then
    released = redis.call("ZREM", KEYS[1], ARGV[1])
    end_with_last(KEYS[1])
  end
end
if released == 1 and ARGV[2] and redis.call("EXISTS", KEYS[1]) == 0 then
  redis.pcall("PUBLISH", ARGV[2], "")
end
return released`);

function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}
