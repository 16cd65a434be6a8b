import { it } from "vitest";
import { systemRandom } from "../../../src/random.ts";
import type { LockTraits } from "./lock-product.ts";
import { type CreateLock, LONG_TTL_MS, openLock } from "./open-lock.ts";

/** What an extension of many leases answers, by one call where the back-end has one. */
export function extendMany(create: CreateLock, { capabilities }: LockTraits): void {
  it("L2 extending many answers each in order: ours true, foreign, released and unknown ones false", async ({ expect }) => {
    await using lock = await openLock(create);
    const first = await lock.win(`${lock.key}first`);
    const foreign = await lock.win(`${lock.key}foreign`);
    const released = await lock.win(`${lock.key}released`);
    await lock.backend.release(released);
    const last = await lock.win(`${lock.key}last`);
    const unknown = { key: `${lock.key}unknown`, owner: systemRandom.id(), ttlMs: LONG_TTL_MS };

    const answers = await lock.extendAll([first, { ...foreign, owner: systemRandom.id() }, released, unknown, last]);

    expect(answers).toEqual([true, false, false, false, true]);
    expect(await Promise.all([foreign, released, unknown].map(({ key }) => lock.isHeld(key)))).toEqual([true, false, false]);
    expect(await lock.extendAll([foreign])).toEqual([true]);
    expect(await lock.extendAll([])).toEqual([]);
  });

  if (!capabilities.shared) return;

  it("L2 L8 extending many tells shared leases of one key apart", async ({ expect }) => {
    await using lock = await openLock(create);
    const kept = await lock.take({ mode: "shared" });
    const released = await lock.take({ mode: "shared" });
    const exclusive = await lock.win(`${lock.key}exclusive`);
    await lock.backend.release(released);

    const answers = await lock.extendAll([released, kept, exclusive, { ...kept, owner: systemRandom.id() }]);

    expect(answers).toEqual([false, true, true, false]);
  });
}
