import { it } from "vitest";
import { systemRandom } from "../../../src/random.ts";
import { type CreateLock, LONG_TTL_MS, openLock } from "./open-lock.ts";

/** L2 as far as no time needs to pass. */
export function ownership(create: CreateLock): void {
  it("L2 release by the owner frees the key for others", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.take();

    expect(await lock.backend.release(lease)).toBe(true);

    expect(await lock.isHeld()).toBe(false);
    expect((await lock.ask()).lease).not.toBeNull();
  });

  it("L2 release a second time is false and takes nothing from the next holder", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.take();
    await lock.backend.release(lease);
    const next = await lock.take();

    expect(await lock.backend.release(lease)).toBe(false);

    expect(await lock.isHeld()).toBe(true);
    expect(await lock.backend.extend(next)).toBe(true);
  });

  it("L2 release of a key nobody holds is false", async ({ expect }) => {
    await using lock = await openLock(create);

    expect(await lock.backend.release({ key: lock.key, owner: systemRandom.id(), ttlMs: LONG_TTL_MS })).toBe(false);
  });

  it("L2 release by a non-owner changes nothing", async ({ expect }) => {
    await using lock = await openLock(create);
    const holder = await lock.take();

    expect(await lock.backend.release({ ...holder, owner: systemRandom.id() })).toBe(false);

    expect(await lock.isHeld()).toBe(true);
    expect(await lock.backend.extend(holder)).toBe(true);
    expect((await lock.ask()).lease).toBeNull();
  });

  it("L2 extend after release is false and does not bring the key back", async ({ expect }) => {
    await using lock = await openLock(create);
    const lease = await lock.take();
    await lock.backend.release(lease);

    expect(await lock.backend.extend(lease)).toBe(false);

    expect(await lock.isHeld()).toBe(false);
  });

  it("L2 extend of a lease that the next holder has taken over is false and leaves the next holder alone", async ({
    expect,
  }) => {
    await using lock = await openLock(create);
    const lease = await lock.take();
    await lock.backend.release(lease);
    const next = await lock.take();

    expect(await lock.backend.extend(lease)).toBe(false);

    expect(await lock.backend.extend(next)).toBe(true);
    expect(await lock.backend.release(next)).toBe(true);
  });
}
