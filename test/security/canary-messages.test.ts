import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { createExclaim, type Exclaim } from "../../src/claim/create-exclaim.ts";
import type { ExclaimError } from "../../src/errors.ts";
import { consume } from "../../src/queue/amqplib.ts";
import { openRabbit, type Rabbit } from "../queue/rabbit.ts";
import { eventually } from "../support/eventually.ts";
import { type FreshDatabase, freshDatabase } from "../support/postgres.ts";
import { CANARY, canariesIn } from "./canary.ts";

let database: FreshDatabase;
let rabbit: Rabbit;
let exclaim: Exclaim;

beforeAll(async () => {
  [database, rabbit] = await Promise.all([freshDatabase(), openRabbit()]);
  await database.pool.query(
    "create table voucher_item (id int primary key, user_id text); insert into voucher_item values (1)",
  );
  exclaim = createExclaim({ database: database.pool });
  await exclaim.migrate();
});

afterAll(async () => {
  await exclaim.close();
  await rabbit.close();
  await database.drop();
});

/** Every message of these is given up, each for a reason of its own. */
const SENT: readonly (readonly [what: string, content: Buffer])[] = [
  ["no JSON", Buffer.from(`{"user_id":"7","card":${CANARY}`)],
  ["no UTF-8", Buffer.concat([Buffer.from(CANARY), Buffer.from([0xff])])],
  ["too deep", Buffer.from(`${"[".repeat(100)}${JSON.stringify(CANARY)}`)],
  ["refused by the schema", Buffer.from(JSON.stringify({ user_id: "7", card: CANARY, refuse: true }))],
  ["without a claimant", Buffer.from(JSON.stringify({ card: CANARY }))],
  ["failed by the handler", Buffer.from(JSON.stringify({ user_id: "8", card: CANARY }))],
  ["out of rows", Buffer.from(JSON.stringify({ user_id: "9", card: CANARY }))],
];

interface Order {
  readonly user_id: string;
  readonly card: string;
  readonly refuse?: boolean;
}

describe("a secret in the payload of messages that are given up", () => {
  it("is in no record, header, event, report or warning", async () => {
    const told: unknown[] = [];
    const warned = (warning: Error) => told.push(warning);
    process.on("warning", warned);
    onTestFinished(() => void process.off("warning", warned));
    for (const event of ["claim:acquired", "claim:ended", "claim:lost", "message:deadLettered", "background:failed"] as const) {
      exclaim.on(event, (payload: unknown) => told.push(payload));
    }
    const errors: ExclaimError[] = [];
    const consumer = await consume<Order, object>(
      rabbit.connection,
      rabbit.queue,
      async () => {
        throw new Error("the handler failed");
      },
      {
        pool: exclaim.pool({ table: "voucher_item", ownerColumn: "user_id" }),
        claimant: (message) => message.data.user_id,
        onEmpty: { do: "dead-letter", reason: "no vouchers left" },
        onError: (error) => void errors.push(error),
        parse: {
          "~standard": {
            version: 1,
            vendor: "test",
            validate: (value) => {
              const order = value as Order;
              return order.refuse ? { issues: [{ message: `${order.card} is no card`, path: ["card"] }] } : { value: order };
            },
          },
        },
      },
    );
    onTestFinished(() => consumer.close());

    for (const [, content] of SENT) await rabbit.sendRaw(content);
    const dead = [];
    for (const _ of SENT) dead.push(await rabbit.deadLetter());
    await eventually(async () => (await records()).length === SENT.length);

    expect((await records()).map(({ code }) => code).toSorted()).toEqual([
      "CLAIMANT_MISSING",
      "HANDLER_ERROR",
      "MESSAGE_INVALID",
      "MESSAGE_INVALID",
      "MESSAGE_INVALID",
      "MESSAGE_INVALID",
      "REFUSED",
    ]);
    expect(canariesIn(await records())).toEqual([]);
    expect(canariesIn(dead.map(({ properties, fields }) => ({ properties, fields })))).toEqual([]);
    expect([...told, ...errors].flatMap(canariesIn)).toEqual([]);
  });
});

async function records(): Promise<readonly { readonly code: string }[]> {
  return (await database.pool.query("select * from exclaim.dead_letters")).rows;
}
