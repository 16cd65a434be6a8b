import type { Plan } from "./plan.ts";
import { isPatient } from "./rest-time.ts";

/** Whether nothing goes wrong in a run but what its handlers do: nobody dies, waits without need or is given a message twice. */
export function isQuiet(plan: Plan): boolean {
  const { faults, maxHoldMs, broker, messages } = plan;
  return (
    faults.length === 0 &&
    maxHoldMs === null &&
    broker.renews &&
    isPatient(plan) &&
    messages.every(({ work }) => work.stallMs === 0)
  );
}
