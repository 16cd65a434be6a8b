import type { ChannelModel } from "amqplib";
import { ExclaimError } from "../../../errors.ts";
import { messageOf } from "../../../queue/message-of.ts";
import { importPackage } from "../../import-package.ts";
import type { Consumer } from "../broker.ts";

const CONNECT_LIMIT_MS = 5_000;
/** All that amqplib tells of a virtual host that is not there. */
const NOT_OPENED = "Expected ConnectionOpenOk";

/**
 * Connects to RabbitMQ. The caller closes the connection.
 * Throws CONFIG_INVALID: the server does not answer; the message repeats nothing of the address, which may hold a password.
 */
export async function connectRabbitmq(url: string): Promise<ChannelModel> {
  const { connect } = await importPackage("amqplib", () => import("amqplib"));
  try {
    const connection = await connect(url, { timeout: CONNECT_LIMIT_MS });
    // Whoever needs the connection learns of its end by the call that fails, or by its close event.
    connection.on("error", () => {});
    return connection;
  } catch (cause) {
    const why = messageOf(cause);
    const remedy = why.includes(NOT_OPENED) ? "; does its virtual host exist, and may this user enter it?" : "";
    throw new ExclaimError("CONFIG_INVALID", `the server of AMQP_URL does not answer as it should: ${why}${remedy}`, { cause });
  }
}

/** Runs `work` on a connection of its own. */
export async function withRabbitmq<T>(url: string, work: (connection: ChannelModel) => Promise<T>): Promise<T> {
  const connection = await connectRabbitmq(url);
  try {
    return await work(connection);
  } finally {
    await closeRabbitmq(connection);
  }
}

/** Closes the connection, if it is not closed already. */
export async function closeRabbitmq(connection: ChannelModel): Promise<void> {
  try {
    await connection.close();
  } catch {
    // Whoever closed it, it is closed.
  }
}

/** A consumer with a connection of its own. `start` returns what stops it while its connection is still open. */
export async function consumeOnConnection(
  url: string,
  start: (connection: ChannelModel) => Promise<() => Promise<void>>,
): Promise<Consumer> {
  const connection = await connectRabbitmq(url);
  let isClosing = false;
  const ended = new Promise<void>((resolve, reject) => {
    connection.once("close", (cause?: Error) => {
      if (isClosing) resolve();
      else
        reject(new ExclaimError("ABORTED", `the connection to RabbitMQ has closed: ${messageOf(cause ?? "by this program")}`));
    });
  });
  ended.catch(() => {});
  const stop = await start(connection).catch(async (error: unknown) => {
    isClosing = true;
    await closeRabbitmq(connection);
    throw error;
  });
  return {
    ended,
    async close() {
      isClosing = true;
      await stop();
      await closeRabbitmq(connection);
    },
  };
}
