import { expectTypeOf, it } from "vitest";
import type { OutboxTopics, TopicName, TopicPayload, Transaction } from "../../src/index.ts";

declare const tx: Transaction;

it("takes any topic and any payload as long as none is declared", () => {
  expectTypeOf<TopicName>().toEqualTypeOf<string>();
  expectTypeOf<TopicPayload<"voucher.assigned">>().toEqualTypeOf<unknown>();
  expectTypeOf(tx.publish("voucher.assigned", { userId: 7 })).toEqualTypeOf<Promise<string>>();
  expectTypeOf(tx.publish(String(7), null)).toEqualTypeOf<Promise<string>>();
  expectTypeOf<Extract<keyof OutboxTopics, string>>().toEqualTypeOf<never>();
});

it("takes no topic that is no text", () => {
  expectTypeOf<number>().not.toExtend<Parameters<typeof tx.publish>[0]>();
});
