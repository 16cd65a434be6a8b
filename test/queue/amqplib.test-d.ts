import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, RecoveringChannelModel } from "amqplib";
import { expectTypeOf, it } from "vitest";
import type { Claim } from "../../src/claim/claim.ts";
import type { Pool } from "../../src/claim/pool.ts";
import type { Resource } from "../../src/claim/resource.ts";
import { type AmqpDelivery, type AmqpMessage, consume, declareTopology, withClaim } from "../../src/queue/amqplib.ts";

interface SignUp {
  readonly user_id: number;
  readonly campaign_id: number;
}

interface Voucher {
  readonly id: number;
  readonly code: string;
}

declare const vouchers: Pool<Voucher>;
declare const orders: Resource;
declare const channel: Channel;
declare const confirmChannel: ConfirmChannel;
declare const connection: ChannelModel;
declare const recovering: RecoveringChannelModel;

it("infers message, row and payload in every callback from the handler's message and the pool", () => {
  const callback = withClaim(
    channel,
    async (message: AmqpDelivery<SignUp>, claim) => {
      expectTypeOf(claim).toEqualTypeOf<Claim<Voucher>>();
      expectTypeOf(message.fields.routingKey).toEqualTypeOf<string>();
      return { userId: message.data.user_id, code: claim.row.code };
    },
    {
      pool: vouchers,
      claimant: (message) => {
        expectTypeOf(message).toEqualTypeOf<AmqpDelivery<SignUp>>();
        return String(message.data.user_id);
      },
      scope: (message) => ({ campaign_id: message.data.campaign_id }),
      pick: (message) => String(message.data.campaign_id),
      onContended: ({ message, deferrals }) =>
        deferrals < message.data.user_id ? { do: "retry", delayMs: 250 } : { do: "fail" },
      onEmpty: ({ message }) => ({ do: "dead-letter", reason: `no vouchers left for ${message.data.user_id}` }),
      attempts: 3,
      attemptDelayMs: (attemptsMade) => attemptsMade * 100,
      deadLetter: "policy",
      onCancelled: () => {},
      onError: (error) => expectTypeOf(error.code).toBeString(),
    },
  );

  channel.consume("voucher", callback, { noAck: false });
});

it("takes options that are written elsewhere and need less of the message", () => {
  const claimant = (message: { readonly data: SignUp }) => String(message.data.user_id);
  const options = { pool: vouchers, claimant: (message: AmqpDelivery<SignUp>) => String(message.data.user_id) };

  withClaim(channel, async (_message: AmqpDelivery<SignUp>, claim) => claim.row.code, { pool: vouchers, claimant });
  withClaim(confirmChannel, async (_message: AmqpDelivery<SignUp>, claim) => claim.row.code, options);
});

it("takes a handler that knows amqplib's own message", () => {
  withClaim(channel, async (message: ConsumeMessage, claim) => `${message.content.length} ${claim.row.code}`, {
    pool: vouchers,
    claimant: (message) => message.properties.headers?.user,
  });
  expectTypeOf<ConsumeMessage>().toExtend<AmqpMessage>();
});

it("knows the payload from the parser where the handler does not say", () => {
  withClaim(
    channel,
    async (message, claim) => {
      expectTypeOf(message.data).toEqualTypeOf<SignUp>();
      return claim.row.code;
    },
    {
      pool: vouchers,
      parse: (content: Buffer): SignUp => JSON.parse(content.toString()),
      claimant: (message) => String(message.data.user_id),
    },
  );
});

it("leaves the payload unknown where nobody says", () => {
  withClaim(
    channel,
    async (message) => {
      expectTypeOf(message.data).toEqualTypeOf<unknown>();
    },
    { pool: vouchers, claimant: () => "7" },
  );
});

it("has no row for a named resource", () => {
  withClaim(
    channel,
    async (_message: AmqpDelivery<SignUp>, claim) => {
      expectTypeOf(claim.row).toEqualTypeOf<undefined>();
    },
    { resource: orders, key: (message) => String(message.data.user_id), minIntervalMs: 10_000 },
  );
});

it("consumes over a plain connection and over one that recovers", () => {
  const options = { pool: vouchers, claimant: () => "7", concurrency: 5, queueType: "classic", delaysMs: [100] } as const;

  consume(connection, "voucher", async (_message: AmqpDelivery<SignUp>, claim) => claim.row.code, options);
  consume(recovering, "voucher", async (_message, claim) => claim.row.code, options);
  consume(recovering, "order", async (_message: AmqpDelivery<SignUp>, claim) => claim.row, {
    resource: orders,
    key: (message) => String(message.data.user_id),
  });
  declareTopology(channel, "voucher", { queueType: "quorum" });
});

it("refuses what does not fit", () => {
  const handler = async (_message: AmqpDelivery<SignUp>) => "done";
  const claimant = (message: AmqpDelivery<SignUp>) => String(message.data.user_id);

  // @ts-expect-error the claimant is missing
  withClaim(channel, handler, { pool: vouchers });
  // @ts-expect-error the pool is missing
  withClaim(channel, handler, { claimant });
  // @ts-expect-error the claimant is a text
  withClaim(channel, handler, { pool: vouchers, claimant: (message) => message.data.user_id });
  // @ts-expect-error there is no such rule
  withClaim(channel, handler, { pool: vouchers, claimant, onEmpty: { do: "requeue" } });
  // @ts-expect-error the row has no such column
  withClaim(channel, async (_message: AmqpDelivery<SignUp>, claim) => claim.row.secret, { pool: vouchers, claimant });
});
