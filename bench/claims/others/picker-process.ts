/** One process that runs a job queue of another package: see `picker-calls.ts`. */
import { serve } from "../../child.ts";
import { openGraphileWorker } from "./graphile-worker.ts";
import { openPgBoss } from "./pg-boss.ts";
import type { Picker, PickPlace } from "./picker.ts";
import type { PickerCalls, PickerName } from "./picker-calls.ts";

const PICKERS: Readonly<Record<PickerName, (place: PickPlace) => Promise<Picker>>> = {
  "graphile-worker": openGraphileWorker,
  "pg-boss": openPgBoss,
};

let opened: Picker | undefined;
let users = 0;
let waiting = 0;

serve<PickerCalls>({
  async begin({ picker, ...place }) {
    opened = await PICKERS[picker](place);
  },
  async add(count) {
    await begun().add(users + 1, count);
    users += count;
    waiting += count;
  },
  async drain() {
    const first = users - waiting + 1;
    const runs = new Uint8Array(waiting);
    const startMs = performance.now();
    await begun().drain(waiting, (user) => {
      runs[user - first] = (runs[user - first] ?? 0) + 1;
    });
    const ms = performance.now() - startMs;
    const wrong = runs.filter((times) => times !== 1).length;
    if (wrong > 0) throw new Error(`${wrong} of ${waiting} jobs did not run exactly once`);
    const left = await begun().left();
    if (left > 0) throw new Error(`${left} of ${users} jobs are not completed, or were taken more than once`);
    waiting = 0;
    return ms;
  },
  async close() {
    await begun().close();
  },
});

function begun(): Picker {
  if (opened === undefined) throw new Error("begin comes first");
  return opened;
}
