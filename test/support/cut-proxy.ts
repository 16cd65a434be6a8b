import { connect, createServer, type Server, type Socket } from "node:net";

/** How a PostgreSQL answer ends: ReadyForQuery outside, inside or in a failed transaction. */
const READY_FOR_QUERY = ["I", "T", "E"].map((status) => Buffer.from(`Z\0\0\0\x05${status}`, "latin1"));

const LONGEST_PATTERN = 256;

/** A TCP proxy in front of a server, for tests of lost connections and lost answers. Forwards everything until told otherwise. */
export interface CutProxy {
  /** The server's URL with the proxy in its place. */
  readonly url: string;
  /** Cuts every connection and refuses new ones until `heal`. */
  cut(): void;
  /** Carries nothing in either direction until `heal`, on open and on new connections: what was sent meanwhile waits. */
  hang(): void;
  /** Ends `cut` and `hang` and takes back what `loseAnswer` and `cutBefore` were told and has not happened. */
  heal(): void;
  /**
   * Waits for a client to send `pattern`: lets it reach the server, drops the whole answer, then cuts that connection, or with
   * `silently` leaves it open and dead.
   * Resolves once the server has answered.
   */
  loseAnswer(pattern: string, options?: { silently?: boolean }): Promise<void>;
  /** Waits for a client to send `pattern` and cuts that connection before it reaches the server. Resolves then. */
  cutBefore(pattern: string): Promise<void>;
  close(): Promise<void>;
}

interface Trap {
  readonly pattern: Buffer;
  readonly kind: "lose-answer" | "lose-answer-silently" | "cut-before";
  readonly happened: () => void;
}

/** Starts a proxy on a free port of 127.0.0.1 in front of the server at `url`. */
export async function startCutProxy(url: string): Promise<CutProxy> {
  const target = new URL(url);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const relay = new Relay(server, Number(target.port), target.hostname);
  const own = new URL(url);
  own.host = `127.0.0.1:${(server.address() as { port: number }).port}`;
  return {
    url: own.href,
    cut: () => relay.cut(),
    hang: () => relay.hang(),
    heal: () => relay.heal(),
    loseAnswer: (pattern, { silently = false } = {}) => relay.trap(pattern, silently ? "lose-answer-silently" : "lose-answer"),
    cutBefore: (pattern) => relay.trap(pattern, "cut-before"),
    close: () => relay.close(),
  };
}

class Relay {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();
  #traps: Trap[] = [];
  #state: "open" | "cut" | "hung" = "open";

  constructor(server: Server, port: number, host: string) {
    this.#server = server;
    server.on("connection", (client) => {
      if (this.#state === "cut") {
        client.resetAndDestroy();
        return;
      }
      const pair = new Pair(client, connect(port, host), (before, sent) => this.#spring(before, sent));
      this.#pairs.add(pair);
      pair.onEnd(() => this.#pairs.delete(pair));
      if (this.#state === "hung") pair.pause();
    });
  }

  cut(): void {
    this.#state = "cut";
    for (const pair of this.#pairs) pair.cut();
  }

  hang(): void {
    this.#state = "hung";
    for (const pair of this.#pairs) pair.pause();
  }

  heal(): void {
    this.#state = "open";
    this.#traps = [];
    for (const pair of this.#pairs) pair.resume();
  }

  trap(pattern: string, kind: Trap["kind"]): Promise<void> {
    return new Promise((happened) => this.#traps.push({ pattern: Buffer.from(pattern), kind, happened }));
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The trap that `sent` sets off, which is then gone; a pattern may begin in what was sent before. */
  #spring(before: Buffer, sent: Buffer): Trap | undefined {
    const trap = this.#traps.find(({ pattern }) => {
      const start = Math.max(0, before.length - pattern.length + 1);
      return Buffer.concat([before.subarray(start), sent]).includes(pattern);
    });
    if (trap !== undefined) this.#traps.splice(this.#traps.indexOf(trap), 1);
    return trap;
  }
}

/** One client and its connection to the server. */
class Pair {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #spring: (before: Buffer, sent: Buffer) => Trap | undefined;
  /** The end of what was sent before, since a pattern may be split over two packets. */
  #before = Buffer.alloc(0);
  #dropped: Buffer | undefined;
  #trap: Trap | undefined;

  constructor(client: Socket, server: Socket, spring: (before: Buffer, sent: Buffer) => Trap | undefined) {
    this.#client = client;
    this.#server = server;
    this.#spring = spring;
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => this.cut());
      socket.on("close", () => this.cut());
    }
    client.on("data", (bytes: Buffer) => this.#forward(bytes));
    server.on("data", (bytes: Buffer) => this.#answer(bytes));
  }

  onEnd(listener: () => void): void {
    this.#client.once("close", listener);
  }

  cut(): void {
    // Node never closes a socket that is reset while its end is under way, and spins when the process exits.
    if (this.#client.writableEnded) this.#client.destroy();
    else if (!this.#client.destroyed) this.#client.resetAndDestroy();
    this.#server.destroy();
  }

  pause(): void {
    this.#client.pause();
    this.#server.pause();
  }

  resume(): void {
    this.#client.resume();
    this.#server.resume();
  }

  #forward(bytes: Buffer): void {
    const trap = this.#trap === undefined ? this.#spring(this.#before, bytes) : undefined;
    this.#before = Buffer.from(Buffer.concat([this.#before, bytes]).subarray(-LONGEST_PATTERN));
    if (trap?.kind === "cut-before") {
      this.cut();
      trap.happened();
      return;
    }
    if (trap !== undefined) {
      this.#trap = trap;
      this.#dropped = Buffer.alloc(0);
    }
    this.#server.write(bytes);
  }

  #answer(bytes: Buffer): void {
    if (this.#dropped === undefined) {
      this.#client.write(bytes);
      return;
    }
    this.#dropped = Buffer.concat([this.#dropped, bytes]);
    const end = this.#dropped.subarray(-6);
    if (!READY_FOR_QUERY.some((ready) => ready.equals(end))) return;
    this.#dropped = Buffer.alloc(0);
    if (this.#trap?.kind === "lose-answer") this.cut();
    this.#trap?.happened();
  }
}
