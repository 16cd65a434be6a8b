import type { AmqpConnection } from "./amqplib-channel.ts";

type ErrorListener = (error: Error) => void;

const listenersOf = new WeakMap<AmqpConnection, Set<ErrorListener>>();

/** Who is told of a connection's errors: one listener of its own for however many consumers, and for as long as it lives. */
export function connectionErrors(connection: AmqpConnection): Set<ErrorListener> {
  const known = listenersOf.get(connection);
  if (known !== undefined) return known;
  const listeners = new Set<ErrorListener>();
  listenersOf.set(connection, listeners);
  connection.on("error", (error) => {
    for (const listener of listeners) listener(error);
  });
  return listeners;
}
