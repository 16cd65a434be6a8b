import { parseArgs } from "node:util";
import { counted } from "../checker/counted.ts";
import { readUsage } from "../support/read-usage.ts";
import { type CheckedModel, checkModel } from "./check-model.ts";
import { models } from "./models.ts";
import { rowsInOrder, tableHead } from "./print-table.ts";
import { findSpinTools } from "./spin-tools.ts";

// npm run model [-- --json] [-- --only name]: searches every model exhaustively. Exits with 1 when one is not as expected, or unknown.

/** Two at a time: each may need up to two gigabytes. */
const AT_ONCE = 2;

const USAGE = "npm run model -- [--only name]... [--json]";

const { values, chosen } = readUsage(USAGE, () => {
  const { values } = parseArgs({
    options: { json: { type: "boolean", default: false }, only: { type: "string", multiple: true } },
  });
  const chosen = models.filter(({ name }) => values.only?.some((wish) => name === wish || name.startsWith(`${wish}/`)) ?? true);
  if (chosen.length > 0) return { values, chosen };
  throw new Error(`no model is called ${values.only?.join(" or ")}: ${models.map(({ name }) => name).join(", ")}`);
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
const checked = await checkAll();
const wrong = checked.filter(({ result, expected }) => result !== expected);
if (values.json) {
  const told = checked.map(({ model, states, expected, result }) => ({ name: model.name, states, expected, result }));
  process.stdout.write(`${JSON.stringify({ models: told })}\n`);
} else {
  const states = checked.reduce((sum, model) => sum + model.states, 0);
  process.stdout.write(
    `\n${counted(checked.length, "search", "searches")}, ${counted(states, "state")}, ${wrong.length} not as expected\n`,
  );
}
process.exitCode = wrong.length === 0 ? 0 : 1;

async function checkAll(): Promise<readonly CheckedModel[]> {
  const tools = await findSpinTools();
  const say = values.json ? process.stderr : process.stdout;
  say.write(`${tableHead()}\n`);
  const tell = rowsInOrder(chosen, (row) => say.write(`${row}\n`));
  const results = new Map<string, CheckedModel>();
  const waiting = [...chosen];
  const worker = async (): Promise<void> => {
    for (let model = waiting.shift(); model !== undefined; model = waiting.shift()) {
      const result = await checkModel(tools, model);
      results.set(model.name, result);
      tell(result);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return chosen.flatMap(({ name }) => results.get(name) ?? []);
}
