import { describe, it } from "vitest";
import { awkwardKeys } from "./lock/awkward-keys.ts";
import { exclusion } from "./lock/exclusion.ts";
import { expiry } from "./lock/expiry.ts";
import { extendMany } from "./lock/extend-many.ts";
import { line, lineExpiry, noLine, sharedLine } from "./lock/line.ts";
import type { LockTraits } from "./lock/lock-product.ts";
import { type CreateLock, openLock } from "./lock/open-lock.ts";
import { ownership } from "./lock/ownership.ts";
import { sessions } from "./lock/sessions.ts";
import { exclusiveAlone, sharedExpiry, sharedMode } from "./lock/shared-mode.ts";
import { wakeUps } from "./lock/wake-ups.ts";

/**
 * The rules of the lock contract, for one back-end. `create` is called once a test, or twice.
 * With `traits` all rules that they make apply, and none is skipped; without them only what holds for every back-end: L1, L2, L4, L5
 * and L7 as far as no time needs to pass.
 */
export function lockConformance(name: string, create: CreateLock, traits?: LockTraits): void {
  describe(`${name} keeps the lock contract`, () => {
    if (traits === undefined) core(create);
    else lockContract(create, traits);
    if (traits !== undefined) describe.concurrent("while time passes", () => lockContractInTime(create, traits));
  });
}

/** All that needs no time to pass. */
export function lockContract(create: CreateLock, traits: LockTraits): void {
  const { capabilities } = traits;
  it("is what its traits say", async ({ expect }) => {
    await using lock = await openLock(create);

    expect(lock.backend.capabilities).toEqual(capabilities);
    expect(typeof lock.backend.watch).toBe(capabilities.push ? "function" : "undefined");
  });

  core(create, traits);
  extendMany(create, traits);
  if (capabilities.shared) sharedMode(create);
  else exclusiveAlone(create);
  if (capabilities.fifo) line(create);
  else noLine(create);
  if (capabilities.fifo && capabilities.shared) sharedLine(create);
}

/** All that waits: these tests can run beside each other, whatever they are of. */
export function lockContractInTime(create: CreateLock, traits: LockTraits): void {
  const { capabilities } = traits;
  const endsByTtl = capabilities.expiry === "ttl";
  if (endsByTtl) expiry(create, traits);
  else sessions(create, traits);
  if (endsByTtl && capabilities.shared) sharedExpiry(create, traits);
  if (endsByTtl && capabilities.fifo) lineExpiry(create, traits);
  if (capabilities.push) wakeUps(create, traits);
}

function core(create: CreateLock, traits?: LockTraits): void {
  exclusion(create, traits);
  ownership(create);
  awkwardKeys(create);
}
