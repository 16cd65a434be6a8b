import { createServer, connect as openSocket, type Server, type Socket } from "node:net";

/** Connections that can be made to break. `hit` is called once one did. */
export interface Droppable {
  drop(hit: () => void): void;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
}

/** An answer that is to be lost: of what is sent next with these bytes in it. */
interface Loss {
  readonly sign: Buffer;
  readonly hit: () => void;
  /** Where the bytes were sent. */
  pair?: Pair;
}

/** For so long after its first byte an answer is kept back, so that what comes with it is lost too. */
const KEPT_BACK_MS = 10;

/** What stands between this process and one server, so that its connections can be cut whatever driver made them. */
export class Relay implements Droppable {
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  readonly #losses = new Set<Loss>();

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

  /**
   * Lets what is sent next with `sign` in it reach the server, and drops all that is answered from then on over its connection, and the
   * connection with it. Returns what takes it back as long as it did not come about.
   */
  loseAnswer(sign: string, hit: () => void): () => void {
    const loss: Loss = { sign: Buffer.from(sign), hit };
    this.#losses.add(loss);
    return () => this.#losses.delete(loss);
  }

  /** Answers that were to be lost are not, if they did not come yet. */
  calm(): void {
    this.#losses.clear();
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
    client.on("data", (bytes: Buffer) => {
      for (const loss of this.#losses) if (loss.pair === undefined && bytes.includes(loss.sign)) loss.pair = pair;
      server.write(bytes);
    });
    let isKeptBack = false;
    server.on("data", (bytes: Buffer) => {
      if (isKeptBack) return;
      const loss = [...this.#losses].find((candidate) => candidate.pair === pair);
      if (loss === undefined) {
        client.write(bytes);
        return;
      }
      isKeptBack = true;
      this.#losses.delete(loss);
      setTimeout(() => {
        cut(pair);
        loss.hit();
      }, KEPT_BACK_MS);
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

/** Ends both at once: the client is reset. */
export function cut({ client, server }: Pair): void {
  // Node closes no socket that it is told to reset while its end is under way, and such a process turns in its own end for ever.
  if (client.writableEnded) client.destroy();
  else if (!client.destroyed) client.resetAndDestroy();
  if (!server.destroyed) server.destroy();
}
