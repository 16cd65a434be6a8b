import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { Certificate } from "./certificate.ts";

/** What stands before a server and speaks TLS for it. */
export interface TlsProxy {
  /** On 127.0.0.1. */
  readonly port: number;
  close(): Promise<void>;
}

/** Source: PostgreSQL manual 53.7, SSLRequest: a length of 8 and the code 80877103, answered by one byte. */
const SSL_REQUEST_LENGTH = 8;

/**
 * Listens with the certificate and hands on what comes, in clear, to the server of `url`.
 * `asksFirst`: a client of PostgreSQL asks whether TLS is spoken before it begins with it.
 */
export async function startTlsProxy(
  url: string,
  certificate: Certificate,
  { asksFirst = false }: { readonly asksFirst?: boolean } = {},
): Promise<TlsProxy> {
  const { hostname, port } = new URL(url);
  const open = new Set<Socket>();
  const server = createServer(async (socket) => {
    open.add(socket);
    socket.on("error", () => {});
    if (asksFirst) {
      socket.once("readable", () => {
        if (socket.read(SSL_REQUEST_LENGTH) === null) return void socket.destroy();
        socket.write("S");
        join(socket);
      });
    } else join(socket);
  });

  function join(socket: Socket): void {
    const inner = new TLSSocket(socket, { isServer: true, ...certificate });
    const outer = connect(Number(port), hostname);
    open.add(outer);
    for (const end of [inner, outer]) end.on("error", () => {});
    inner.on("close", () => outer.destroy());
    outer.on("close", () => inner.destroy());
    inner.pipe(outer).pipe(inner);
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
