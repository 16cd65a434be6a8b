import type { CheckedModel } from "./check-model.ts";

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

/** One search: of a counter-example, how long it is and what it breaks. */
export function tableRow(checked: CheckedModel): string {
  const { model, states, depth, seconds, expected, result, trail, reason } = checked;
  const found = trail === undefined ? "" : ` (${trail.breaks}, in ${trail.steps} steps)`;
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
