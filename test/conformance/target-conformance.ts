import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { isExclaimError } from "../../src/errors.ts";
import type { MessageTarget, OutgoingMessage, SendAnswer } from "../../src/outbox/target.ts";
import { eventually } from "../support/eventually.ts";

/** A queue of its own behind a proxy, a target that sends there, and what the suite needs to look behind its back. */
export interface TargetFixture {
  readonly target: MessageTarget;
  /** Whether the broker drops a second message of an id. */
  readonly dropsRepeats: boolean;
  /** Whether a payload that is null and nothing else stays it. On PostgreSQL, BullMQ reads it as an empty object. */
  readonly keepsNull: boolean;
  /** An id that this broker refuses. */
  readonly refusedId: string;
  /** The same queue for somebody who waits 100 ms for an answer. */
  readonly impatient: MessageTarget;
  /** Takes every message that waits in the queue, in order, past the target. */
  received(): Promise<readonly OutgoingMessage[]>;
  /** Listeners that the caller's client has, of all events. */
  listeners(): number;
  /** Whether the caller's client still works. */
  works(): Promise<boolean>;
  /** Connections to the broker break, and new ones fail. */
  cut(): void;
  /** The broker does not answer any more. */
  hang(): void;
  /** Called once after each test, also a failed one. */
  close(): Promise<void>;
}

export type OpenTarget = () => Promise<TargetFixture>;

let ids = 0;

/** Ids no two messages share. */
export function messageOf(payload: unknown, wish: Partial<OutgoingMessage> = {}): OutgoingMessage {
  ids += 1;
  return { id: `m-${ids}`, topic: "voucher.assigned", payload, ...wish };
}

export function codesOf(answers: readonly SendAnswer[]): string[] {
  return answers.map((answer) => (answer === "sent" ? answer : answer.refused.code));
}

/** The rules every `MessageTarget` keeps. */
export function targetConformance(name: string, open: OpenTarget): void {
  describe(`${name}: the contract of a target`, () => {
    let bed: TargetFixture;

    beforeEach(async () => {
      bed = await open();
      onTestFinished(() => bed.close());
    });

    it("sends messages in order, with their ids and topics, more than suit the broker at once too", async () => {
      const messages = Array.from({ length: 1_100 }, (_, row) => messageOf({ row }, { topic: `topic-${row % 3}` }));

      const answers = await bed.target.send(messages);

      expect(new Set(answers)).toEqual(new Set(["sent"]));
      expect(answers).toHaveLength(1_100);
      expect(await bed.received()).toEqual(messages);
      expect(bed.target.name).toMatch(/^(BullMQ|RabbitMQ) queue q-/);
      expect([200, 500]).toContain(bed.target.chunkSize);
    });

    it("hands over payloads as they are", async () => {
      const payloads = [
        { name: "Ülkü 🎟 ﷽ \u2028", quote: '"\\' },
        { manager: null, list: [null, 1], at: "2026-11-21T10:00:00.000Z" },
        { money: 0.1, large: 9_007_199_254_740_991, small: -1e-7 },
        [{ a: 1 }, "b"],
        "",
        0,
        false,
        null,
      ];

      await bed.target.send(payloads.map((payload) => messageOf(payload)));

      const kept = bed.keepsNull ? null : {};
      expect((await bed.received()).map(({ payload }) => payload)).toEqual([...payloads.slice(0, -1), kept]);
    });

    it("F8 sending again is safe: the broker drops the message, or its receiver tells it by the id", async () => {
      const messages = [messageOf({ row: 1 }), messageOf({ row: 2 })];
      await bed.target.send(messages);

      const answers = await bed.target.send(messages);

      expect(answers).toEqual(["sent", "sent"]);
      expect(await bed.received()).toEqual(bed.dropsRepeats ? messages : [...messages, ...messages]);
    });

    it("tells the backlog, which grows by what was sent", async () => {
      const before = await bed.target.backlog?.();

      await bed.target.send([messageOf({ row: 1 }), messageOf({ row: 2 }), messageOf({ row: 3 })]);

      expect(before).toBe(0);
      // Planted: no delayed or waiting jobs counted.
      await eventually(async () => expect(await bed.target.backlog?.()).toBe(3));
    });

    it("leaves the caller's client as it was after 20 sends, without a listener of its own", async () => {
      const before = bed.listeners();

      for (let count = 0; count < 20; count += 1) await bed.target.send([messageOf({ count })]);
      await bed.target.backlog?.();

      // Planted: listeners that stay.
      expect(bed.listeners()).toBe(before);
      expect(await bed.works()).toBe(true);
    });

    refusals(() => bed);
    outages(() => bed);
  });
}

function refusals(bed: () => TargetFixture): void {
  it("F2 refuses a message alone whose id the broker does not take, and says why", async () => {
    const { refusedId, target, received } = bed();
    const [first, last] = [messageOf({ row: 1 }), messageOf({ row: 3 })];

    const answers = await target.send([first, messageOf({ secret: "hunter2" }, { id: refusedId }), last]);

    expect(codesOf(answers)).toEqual(["sent", "MESSAGE_REFUSED", "sent"]);
    expect(reasonOf(answers[1])).toMatch(/ id /);
    expect(reasonOf(answers[1])).not.toMatch(/hunter2/);
    expect(await received()).toEqual([first, last]);
  });

  it("refuses alone an id that no broker takes, and takes one of 255 bytes", async () => {
    const long = messageOf({ row: 1 }, { id: `${"é".repeat(127)}x` });
    const ids = ["", "x".repeat(256), "é".repeat(128)];

    const answers = await bed().target.send([...ids.map((id) => messageOf({}, { id })), long]);

    expect(codesOf(answers)).toEqual(["MESSAGE_REFUSED", "MESSAGE_REFUSED", "MESSAGE_REFUSED", "sent"]);
    expect(await bed().received()).toEqual([long]);
  });

  it("refuses alone a payload that JSON cannot hold, each among others", async () => {
    const payloads = [{ count: 1n }, 1n, cycle(), undefined, () => {}, Symbol("s"), { toJSON: () => undefined }];
    const rows = payloads.map((_, row) => messageOf({ row }));

    const answers = await bed().target.send(
      payloads.flatMap((payload, row) => [messageOf(payload), ...rows.slice(row, row + 1)]),
    );

    // Planted: the whole call failing over one bigint; answers in another order than the messages.
    expect(codesOf(answers)).toEqual(payloads.flatMap(() => ["MESSAGE_REFUSED", "sent"]));
    expect(answers.filter((answer) => answer !== "sent").every((answer) => /JSON/.test(reasonOf(answer)))).toBe(true);
    expect(await bed().received()).toEqual(rows);
  });

  it("sends nothing when there is nothing, or when all are refused", async () => {
    expect(await bed().target.send([])).toEqual([]);

    const answers = await bed().target.send([messageOf(1n), messageOf(undefined)]);

    expect(codesOf(answers)).toEqual(["MESSAGE_REFUSED", "MESSAGE_REFUSED"]);
    expect(await bed().received()).toEqual([]);
  });
}

function outages(bed: () => TargetFixture): void {
  it("throws BROKER_UNREACHABLE, and nothing hangs, when the connection breaks", async () => {
    const { target, impatient, cut } = bed();
    await target.send([messageOf({ row: 1 })]);
    cut();

    const sending = await impatient.send([messageOf({ row: 2 })]).catch((error: unknown) => error);
    const counting = await impatient.backlog?.().catch((error: unknown) => error);

    expect([sending, counting].map((error) => isExclaimError(error, "BROKER_UNREACHABLE"))).toEqual([true, true]);
  });

  // Planted: no time limit.
  it("throws BROKER_UNREACHABLE, and nothing hangs, when the broker is silent", async () => {
    const { target, impatient, hang } = bed();
    await target.send([messageOf({ row: 1 })]);
    hang();

    const sending = await impatient.send([messageOf({ row: 2 })]).catch((error: unknown) => error);
    const counting = await impatient.backlog?.().catch((error: unknown) => error);

    expect([sending, counting].map((error) => isExclaimError(error, "BROKER_UNREACHABLE"))).toEqual([true, true]);
    expect((sending as Error).message).toMatch(/did not answer within 100 ms/);
  });
}

function reasonOf(answer: SendAnswer | undefined): string {
  return typeof answer === "object" ? answer.refused.message : "";
}

function cycle(): unknown {
  const round: Record<string, unknown> = {};
  round.again = { round };
  return round;
}
