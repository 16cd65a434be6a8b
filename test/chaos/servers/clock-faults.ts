import type { ServerFault } from "../fault.ts";
import type { ShimmedClock } from "./clock-shim.ts";
import { SHORT } from "./process-faults.ts";

export const JUMP_MS = 60_000;
const TOLERANCE_MS = 5_000;

/** A server whose time of day can be moved. */
export interface ClockTarget {
  readonly name: string;
  readonly clock: ShimmedClock;
  /** What the server takes for the time of day, in ms. */
  readMs(): Promise<number>;
}

/**
 * The clocks jump a minute ahead and stay there: leases end early, those that were held before can be had by others. They do not jump
 * back, since leases taken meanwhile would then last a minute longer.
 */
export function jumpedAhead(targets: readonly ClockTarget[], kind: string): ServerFault {
  const jump = jumpOf(targets, JUMP_MS);
  return { ...about(targets, kind), inject: jump.make, hasHit: jump.isSeen, heal: async () => jump.forget() };
}

/**
 * The clocks jump a minute back, so that leases do not end, and are set right again: those that were taken meanwhile end then, at
 * once.
 */
export function jumpedBack(targets: readonly ClockTarget[], kind: string): ServerFault {
  const jump = jumpOf(targets, -JUMP_MS);
  return {
    ...about(targets, kind),
    inject: jump.make,
    hasHit: jump.isSeen,
    heal: async () => {
      for (const { clock } of targets) clock.jump(JUMP_MS);
      jump.forget();
    },
  };
}

function about(
  targets: readonly ClockTarget[],
  kind: string,
): Pick<ServerFault, "kind" | "target" | "breaksExclusion" | "lastsMs"> {
  const target = targets.map(({ name }) => name).join("+");
  return { kind, target, breaksExclusion: true, lastsMs: SHORT };
}

/** Seen when every clock, against that of this process, has moved by about as much since the jump was made. */
function jumpOf(targets: readonly ClockTarget[], byMs: number) {
  let before: readonly number[] = [];
  const lead = () => Promise.all(targets.map(async ({ readMs }) => (await readMs()) - Date.now()));
  return {
    make: async (): Promise<void> => {
      before = await lead();
      for (const { clock } of targets) clock.jump(byMs);
    },
    isSeen: async (): Promise<boolean> => {
      if (before.length === 0) return false;
      const now = await lead();
      return now.every((leadMs, index) => Math.abs(leadMs - (before[index] ?? leadMs) - byMs) < TOLERANCE_MS);
    },
    forget: (): void => {
      before = [];
    },
  };
}
