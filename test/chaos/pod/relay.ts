import { createServer, connect as openSocket, type Server, type Socket } from "node:net";

/** Connections that can be made to break. `hit` is called once one did. */
export interface Droppable {
  drop(hit: () => void): void;
  /** Lets what was sent reach the server and drops what it answers next, and the connection with it. */
  loseAnswer?(hit: () => void): void;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** What stands between this process and one server, so that its connections can be cut whatever driver made them. */
export class Relay implements Droppable {
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  readonly #losses: (() => void)[] = [];

  private constructor(listener: Server, host: string, port: number) {
    this.#listener = listener;
    listener.on("connection", (client) => this.#join(client, openSocket(port, host)));
  }

  /** Returns the relay, and the server's URL with it in its place. */
  static async open(url: string): Promise<{ readonly relay: Relay; readonly url: string }> {
    const address = new URL(url);
    const listener = createServer({ noDelay: true });
    const relay = new Relay(listener, address.hostname, Number(address.port));
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    address.host = `127.0.0.1:${(listener.address() as { readonly port: number }).port}`;
    return { relay, url: address.href };
  }

  drop(hit: () => void): void {
    for (const pair of this.#pairs) {
      pair.client.once("close", hit);
      cut(pair);
    }
  }

  loseAnswer(hit: () => void): void {
    this.#losses.push(hit);
  }

  close(): void {
    for (const pair of this.#pairs) cut(pair);
    this.#listener.close();
  }

  #join(client: Socket, server: Socket): void {
    const pair = { client, server };
    this.#pairs.add(pair);
    server.setNoDelay(true);
    for (const socket of [client, server]) {
      socket.on("error", () => cut(pair));
      socket.on("close", () => {
        this.#pairs.delete(pair);
        cut(pair);
      });
    }
    client.on("data", (bytes: Buffer) => server.write(bytes));
    server.on("data", (bytes: Buffer) => {
      const hit = this.#losses.shift();
      if (hit === undefined) {
        client.write(bytes);
        return;
      }
      cut(pair);
      hit();
    });
  }
}

/** Many as one. */
export function allOf(droppables: readonly Droppable[]): Droppable {
  return {
    drop(hit) {
      for (const droppable of droppables) droppable.drop(hit);
    },
  };
}

function cut({ client, server }: Pair): void {
  if (!client.destroyed) client.resetAndDestroy();
  if (!server.destroyed) server.destroy();
}
