/** What each node is asked, as Lua that runs there, and what its answer means. */
import { createHash } from "node:crypto";

export interface Script {
  readonly text: string;
  readonly sha: string;
}

/**
 * Takes the key unless somebody else has it.
 * Input: KEYS[1] the key; ARGV[1] the owner; ARGV[2] the ttl in ms, a whole number.
 * Output: "yes", it is the owner's for the whole ttl from now; or { remaining ms, holder }, -1 ms when the holder's never ends.
 * Atomicity: one script, so nothing comes between looking and taking. Running it again for the same owner changes only the end.
 */
export const ACQUIRE = script(`
if redis.call("SET", KEYS[1], ARGV[1], "NX", "PX", ARGV[2]) then return "yes" end
local holder = redis.call("GET", KEYS[1])
if holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return "yes"`);

/**
 * Lets the owner's key last for a whole ttl from now. Never makes one: a key that is gone may have been somebody else's since.
 * Input: KEYS[1] the key; ARGV[1] the owner; ARGV[2] the ttl in ms, a whole number.
 * Output: "yes"; "lost", there is no such key; or { remaining ms, holder }.
 * Atomicity: one script, so the key that was compared is the key that is extended.
 */
export const EXTEND = script(`
local holder = redis.call("GET", KEYS[1])
if not holder then return "lost" end
if holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return "yes"`);

/**
 * Deletes the owner's key.
 * Input: KEYS[1] the key; ARGV[1] the owner; ARGV[2] is not read; ARGV[3], if given, the channel on which to tell whose key is gone.
 * Output: "yes", it was the owner's and is gone; "lost", there was no such key; or { remaining ms, holder }, left alone.
 * Atomicity: one script, so the key that was compared is the key that is deleted. Who may not publish may release all the same.
 */
export const RELEASE = script(`
local holder = redis.call("GET", KEYS[1])
if not holder then return "lost" end
if holder ~= ARGV[1] then return { redis.call("PTTL", KEYS[1]), holder } end
redis.call("DEL", KEYS[1])
if ARGV[3] then redis.pcall("PUBLISH", ARGV[3], ARGV[1]) end
return "yes"`);

export interface Held {
  readonly holder: string;
  /** Infinity when the holder's key never ends by itself. */
  readonly remainingMs: number;
}

/** The node could not be asked, or not understood. */
export interface Failure {
  readonly cause: string;
}

/** What one node said. */
export type Vote = "yes" | "lost" | Held | Failure;

export function parseVote(reply: unknown): Vote {
  if (reply === "yes" || reply === "lost") return reply;
  if (!Array.isArray(reply)) return { cause: `an answer that is not the script's: ${typeof reply}` };
  const remainingMs = Number(reply[0]);
  return { remainingMs: remainingMs === -1 ? Infinity : remainingMs, holder: String(reply[1]) };
}

export function isHeld(vote: Vote | undefined): vote is Held {
  return typeof vote === "object" && "holder" in vote;
}

export function isFailure(vote: Vote): vote is Failure {
  return typeof vote === "object" && "cause" in vote;
}

function script(text: string): Script {
  return { text, sha: createHash("sha1").update(text).digest("hex") };
}
