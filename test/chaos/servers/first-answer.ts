import { connect } from "node:net";

/** What a server makes of a caller who sends the first bytes of its protocol. */
export type FirstAnswer = "answered" | "silent" | "refused" | "cut";

/** What a caller sends to hear something from a server that is well. MariaDB speaks first. */
export const GREETINGS = {
  redis: Buffer.from("PING\r\n"),
  // Asks whether it speaks TLS; the answer is one byte.
  postgres: Buffer.from([0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]),
  rabbitmq: Buffer.from("AMQP\x00\x00\x09\x01", "latin1"),
  etcd: Buffer.from("GET /health HTTP/1.0\r\n\r\n"),
  zookeeper: Buffer.from("srvr"),
  mariadb: Buffer.alloc(0),
} as const;

/** Waits for the first byte, at most `withinMs`. The system accepts connections for a server that is stopped: it is silent. */
export function firstAnswer(at: { host: string; port: number }, greeting: Buffer, withinMs = 300): Promise<FirstAnswer> {
  return new Promise((resolve) => {
    const socket = connect({ host: at.host, port: at.port });
    const timer = setTimeout(() => settle("silent"), withinMs);
    function settle(answer: FirstAnswer): void {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    }
    socket.on("connect", () => socket.write(greeting));
    socket.on("data", () => settle("answered"));
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code === "ECONNREFUSED" ? "refused" : "cut"));
    socket.on("close", () => settle("cut"));
  });
}
