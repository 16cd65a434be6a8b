import { connect } from "amqplib";
import { consume } from "../../../src/queue/amqplib.ts";
import type { AmqpChannel, AmqpConnection, AmqpMessage } from "../../../src/queue/amqplib-channel.ts";
import type { ChaosMessage } from "../pod-messages.ts";
import { RABBITMQ_TOPOLOGY } from "../rabbitmq-topology.ts";
import { type CurrentDelivery, duringDelivery } from "./current-delivery.ts";
import { CONCURRENCY, CONTENDED, EMPTY, LOST, type Service, type Serving } from "./service.ts";

const ATTEMPT_DELAY_MS = 50;

/** Serves both queues with consumers that come back by themselves. */
export async function serveRabbitmq(url: string, service: Service): Promise<Serving> {
  const { queues, attempts, lockBy, onFailure } = service.assignment;
  const connection = await connect(url, { recovery: { initialDelay: 30, maxDelay: 300 } });
  connection.on("error", () => {});
  const watched = watchConnection(connection as unknown as AmqpConnection, service);
  const common = {
    ...RABBITMQ_TOPOLOGY,
    attempts,
    attemptDelayMs: ATTEMPT_DELAY_MS,
    concurrency: CONCURRENCY,
    onContended: CONTENDED,
    onLost: LOST,
    // What failed is told by what becomes of its message.
    onError: () => {},
  };
  const consumers = [
    await consume<ChaosMessage, unknown, object>(watched, queues.pool, ({ data }, claim) => service.handleRow(data, claim), {
      ...common,
      pool: service.pool,
      claimant: ({ data }) => data.claimant,
      onEmpty: EMPTY,
      onGiveUp: "release",
      onFailure,
      lockBy,
    }),
    await consume<ChaosMessage>(watched, queues.resource, ({ data }, claim) => service.handleKey(data, claim), {
      ...common,
      resource: service.resource,
      key: ({ data }) => data.claimant,
    }),
  ];
  return {
    async close() {
      await Promise.all(consumers.map((consumer) => consumer.close()));
      await connection.close();
      return "closed";
    },
  };
}

/** The connection, whose channels write down what is delivered and settled on them. */
function watchConnection(connection: AmqpConnection, service: Service): AmqpConnection {
  return {
    createChannel: async () => watchChannel(await connection.createChannel(), service),
    on: (event, listener) => connection.on(event, listener),
    removeListener: (event, listener) => connection.removeListener(event, listener),
  };
}

/** Its methods are replaced in place: the library opens channels of its own beside it. */
function watchChannel(channel: AmqpChannel, service: Service): AmqpChannel {
  const deliveries = new Map<number, CurrentDelivery>();
  const { ack, nack, consume: consumeQueue } = channel;
  // With the channel its deliveries are the broker's again.
  channel.on("close", () => {
    for (const { id } of deliveries.values()) service.inHand.delete(id);
  });
  const settle = (message: AmqpMessage, verb: Verb, tell: () => void): void => {
    const delivery = deliveries.get(message.fields.deliveryTag);
    deliveries.delete(message.fields.deliveryTag);
    if (delivery === undefined) tell();
    else watchSettlement({ delivery, verb, tell }, service);
  };
  const receive = (message: AmqpMessage, onMessage: (message: AmqpMessage) => void): void => {
    const id = String(message.properties.messageId);
    const delivery = service.deliver(id);
    deliveries.set(message.fields.deliveryTag, delivery);
    service.inHand.add(delivery.id);
    service.failpoints.pass("F0 delivered");
    duringDelivery(delivery, () => onMessage(message));
  };
  return Object.assign(channel, {
    ack: (message: AmqpMessage) => settle(message, "ack", () => ack.call(channel, message)),
    nack: (message: AmqpMessage, allUpTo: boolean, requeue: boolean) =>
      settle(message, requeue ? "requeue" : "nack", () => nack.call(channel, message, allUpTo, requeue)),
    consume: (...[queue, onMessage, options]: Parameters<AmqpChannel["consume"]>) => {
      const watched = (message: AmqpMessage | null): void => {
        if (message === null) onMessage(message);
        else receive(message, onMessage);
      };
      return consumeQueue.call(channel, queue, watched, options);
    },
  });
}

type Verb = "ack" | "nack" | "requeue";

interface Settlement {
  readonly delivery: CurrentDelivery;
  readonly verb: Verb;
  readonly tell: () => void;
}

/** Writes down what the broker is told of a delivery, and meets the failpoints on both sides of it. */
function watchSettlement({ delivery, verb, tell }: Settlement, { log, failpoints, inHand }: Service): void {
  inHand.delete(delivery.id);
  const disposition = told(delivery, verb);
  const call = { what: "settle", delivery: delivery.id, message: delivery.message, disposition } as const;
  log.write({ ...call, phase: "invoke" });
  failpoints.pass("F14 settlement sent");
  try {
    tell();
  } catch (error) {
    log.write({ ...call, phase: "fail" });
    throw error;
  }
  // AMQP confirms no acknowledgement.
  log.write({ ...call, phase: "info" });
  failpoints.pass("F15 settlement confirmed");
}

/** What the verb says of the message: an ack of what is not done is of one whose copy waits for a later try. */
function told({ outcome }: CurrentDelivery, verb: Verb): "complete" | "retry" | "fail" | "dead-letter" {
  if (verb === "nack") return "dead-letter";
  if (verb === "requeue") return "retry";
  if (outcome === "completed" || outcome === "replayed") return "complete";
  return outcome === "failed" ? "fail" : "retry";
}
