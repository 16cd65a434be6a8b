import type { ClaimOptions, PoolClaimRequest } from "../claim/pool.ts";
import { ExclaimError, type ExclaimErrorCode, isExclaimError } from "../errors.ts";
import type { PoolDeliveryOptions, ResourceDeliveryOptions } from "./claim-options.ts";
import { messageOf } from "./message-of.ts";

const CODES = {
  claimant: "CLAIMANT_MISSING",
  scope: "SCOPE_INVALID",
  pick: "PICK_INVALID",
  key: "KEY_MISSING",
} as const;

/**
 * Asks the options on whose behalf a message claims, and what.
 * What a function throws, and what it fails to give, is refused: a message without a claimant must not run without a claim, and one
 * whose scope or pick is missing must not claim from the whole pool.
 * Throws CLAIMANT_MISSING, SCOPE_INVALID, PICK_INVALID.
 */
export function wantedBy<M, R extends object>(
  message: M,
  options: PoolDeliveryOptions<M, R>,
): Pick<PoolClaimRequest, "claimant" | "scope" | "pick"> {
  const { claimant, scope, pick } = options;
  return {
    claimant: answer("claimant", () => claimant(message), isText),
    ...(scope === undefined ? {} : { scope: answer("scope", () => scope(message), isObject) }),
    ...(pick === undefined ? {} : { pick: answer("pick", () => pick(message), isText) }),
  };
}

/** Asks the options which key a message works on. Throws KEY_MISSING. */
export function keyOf<M>(message: M, { key }: ResourceDeliveryOptions<M>): string {
  return answer("key", () => key(message), isText);
}

/** Whether the error says that a message does not name a claimant, scope or row that can exist. */
export function isUnidentified(error: unknown): boolean {
  const codes: readonly ExclaimErrorCode[] = [...Object.values(CODES), "CLAIMANT_INVALID"];
  return codes.some((code) => isExclaimError(error, code));
}

/** The options that are the same for every message, without those that are not set. */
export function claimOptionsOf(options: ClaimOptions): ClaimOptions {
  const { onReplay, onFailure, onGiveUp, lockBy, maxHoldMs } = options;
  return {
    ...(onReplay === undefined ? {} : { onReplay }),
    ...(onFailure === undefined ? {} : { onFailure }),
    ...(onGiveUp === undefined ? {} : { onGiveUp }),
    ...(lockBy === undefined ? {} : { lockBy }),
    ...(maxHoldMs === undefined ? {} : { maxHoldMs }),
  };
}

function answer<V>(name: keyof typeof CODES, ask: () => V, isUsable: (value: unknown) => boolean): V {
  let value: V;
  try {
    value = ask();
  } catch (cause) {
    throw new ExclaimError(CODES[name], `${name}() threw: ${messageOf(cause)}`, { cause });
  }
  if (isUsable(value)) return value;
  const given = value === "" ? "an empty text" : value === null ? "null" : `a value of type ${typeof value}`;
  const remedy =
    typeof value === "number" || typeof value === "bigint"
      ? "return String(...) of it"
      : "check what it reads from the message's data";
  throw new ExclaimError(CODES[name], `${name}() gave ${given}: ${remedy}`);
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null;
}
