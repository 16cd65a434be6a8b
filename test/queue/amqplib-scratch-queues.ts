import { randomUUID } from "node:crypto";
import amqplib, { type Channel, type ChannelModel } from "amqplib";
import amqplib1 from "amqplib-1";
import { refusalCodeOf } from "../../src/queue/amqplib-own-channel.ts";
import { rabbitmqUrl } from "../support/rabbitmq.ts";

/** The oldest amqplib that works, and the newest. */
export const AMQPLIBS = [
  ["amqplib 1", amqplib1 as unknown as typeof amqplib],
  ["amqplib 2", amqplib],
] as const;

const NOT_FOUND = 404;

/** A connection with a user's channel, and queues that are deleted at the end. */
export class ScratchQueues {
  readonly connection: ChannelModel;
  /** A user's: must stay open. */
  readonly channel: Channel;
  readonly #names = new Set<string>();

  private constructor(connection: ChannelModel, channel: Channel) {
    this.connection = connection;
    this.channel = channel;
  }

  static async open(amqp: typeof amqplib = amqplib): Promise<ScratchQueues> {
    const connection = await amqp.connect(rabbitmqUrl());
    connection.on("error", () => {});
    const channel = await connection.createChannel();
    channel.on("error", () => {});
    return new ScratchQueues(connection, channel);
  }

  /** A queue name of our own, also with what is put to it by `named`. */
  name(suffix = ""): string {
    return this.named(`exclaim-${randomUUID().slice(0, 8)}${suffix}`);
  }

  /** Has a queue deleted at the end that goes by this name. */
  named(name: string): string {
    this.#names.add(name);
    return name;
  }

  async declare(queue: string, args: Record<string, unknown> = {}, options: object = {}): Promise<string> {
    this.named(queue);
    await this.channel.assertQueue(queue, { ...options, arguments: args });
    return queue;
  }

  async exists(queue: string): Promise<boolean> {
    const channel = await this.connection.createChannel();
    channel.on("error", () => {});
    try {
      await channel.checkQueue(queue);
    } catch (error) {
      if (refusalCodeOf(error) === NOT_FOUND) return false;
      throw error;
    }
    await channel.close();
    return true;
  }

  /** Whether the user's channel still does what it is asked. */
  async isUsable(): Promise<boolean> {
    try {
      await this.channel.prefetch(1);
      return true;
    } catch {
      return false;
    }
  }

  /** How many channels are open on the connection. */
  openChannels(): number {
    const { channels } = (this.connection as unknown as { connection: { channels: ({ channel: unknown } | null)[] } })
      .connection;
    return channels.filter((entry) => entry != null).length;
  }

  async close(): Promise<void> {
    const channel = await this.connection.createChannel();
    for (const name of this.#names) await channel.deleteQueue(name);
    await this.connection.close();
  }
}
