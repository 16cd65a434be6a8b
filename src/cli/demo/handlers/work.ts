import { setTimeout as sleep } from "node:timers/promises";

/** What every handler does between finding a voucher and handing it out: a template, a call, a few milliseconds. */
const WORK_MS = 5;

export function work(): Promise<void> {
  return sleep(WORK_MS);
}
