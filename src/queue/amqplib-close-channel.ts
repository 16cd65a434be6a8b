import type { AmqpChannel } from "./amqplib-channel.ts";

/**
 * Closes a channel, or finds it closed.
 * After: it is closed, or its connection is gone. amqplib's own `close()` waits for the broker's answer for ever when the connection is
 * lost before that comes, and says nothing then but "close". Never throws.
 * Source: amqplib 2.3, `lib/channel.js`: `toClosed` answers the calls under way, and `close` is none of them.
 */
export async function closeChannel(channel: AmqpChannel): Promise<void> {
  const isGone = new Promise<void>((resolve) => channel.on("close", resolve));
  try {
    await Promise.race([channel.close(), isGone]);
  } catch {
    // Closed already.
  }
}
