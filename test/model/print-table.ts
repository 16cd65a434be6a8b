import { counted } from "../checker/counted.ts";
import type { CheckedModel } from "./check-model.ts";
import type { Model } from "./model.ts";

const NAME_WIDTH = 38;
const BOUNDS_WIDTH = 64;

/** The columns of the table that `npm run model` prints. */
export function tableHead(): string {
  return line({
    name: "model",
    bounds: "bounds",
    states: "states",
    depth: "depth",
    seconds: "seconds",
    expected: "expected",
    result: "result",
  });
}

/** Takes the searches as they end, and gives their rows to `say` in the order of `models`: each as soon as all before it have ended. */
export function rowsInOrder(models: readonly Model[], say: (row: string) => void): (checked: CheckedModel) => void {
  const ended = new Map<string, CheckedModel>();
  const left = models.map(({ name }) => name);
  return (checked) => {
    ended.set(checked.model.name, checked);
    for (let next = ended.get(left[0] ?? ""); next !== undefined; next = ended.get(left[0] ?? "")) {
      say(tableRow(next));
      left.shift();
    }
  };
}

/** One search: of a counter-example, how long it is and what it breaks. */
export function tableRow(checked: CheckedModel): string {
  const { model, states, depth, seconds, expected, result, trail, reason } = checked;
  const found = trail === undefined ? "" : ` (${trail.breaks}, in ${counted(trail.steps, "step")})`;
  return line({
    name: model.name,
    bounds: model.bounds,
    states: states.toLocaleString("en"),
    depth: String(depth),
    seconds: seconds.toFixed(1),
    expected,
    result: `${result}${found}${reason === undefined ? "" : `: ${reason}`}`,
  });
}

type Columns = Record<"name" | "bounds" | "states" | "depth" | "seconds" | "expected" | "result", string>;

function line({ name, bounds, states, depth, seconds, expected, result }: Columns): string {
  const numbers = [states.padStart(10), depth.padStart(6), seconds.padStart(8)];
  return [name.padEnd(NAME_WIDTH), bounds.padEnd(BOUNDS_WIDTH), ...numbers, expected.padEnd(9), result].join(" ");
}
