import type { Socket } from "node:net";
import type pg from "pg";
import { type Failpoint, isInside } from "../failpoint.ts";
import type { FaultOrder } from "../fault-orders.ts";
import { type HistoryLog, monotonicMs } from "../history-log.ts";
import type { Consequence, Failpoints } from "./failpoints.ts";
import { grantsOf } from "./grants-of.ts";
import type { Droppable } from "./relay.ts";
import { POINTS, statementKind } from "./statement-kind.ts";

export interface Query {
  readonly text: string;
  readonly values?: readonly unknown[];
}

export interface Answer {
  readonly rows: readonly unknown[];
  readonly fields: readonly { readonly name: string }[];
}

type Ask = (query: Query) => Promise<Answer>;

const INSIDE_POINTS: readonly Failpoint[] = ["F4 ledger key written", "F5 row chosen", "F6 row written"];

/** How long the trigger waits inside of the claim, so that the process can be struck meanwhile. */
const INSIDE_MS = 150;

/** Makes the connections of a pool meet their failpoints. Returns what breaks all of them. */
export function faultyDatabase(pool: pg.Pool, failpoints: Failpoints, log: HistoryLog): Droppable {
  const sockets = new Set<Socket>();
  pool.on("connect", (client) => {
    const socket = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    const connection = new FaultyConnection(client, socket, failpoints, log);
    Object.assign(client, { query: connection.query });
  });
  return {
    drop(hit) {
      for (const socket of sockets) socket.once("close", hit).destroy();
    },
  };
}

class FaultyConnection {
  readonly #ask: Ask;
  readonly #socket: Socket;
  readonly #failpoints: Failpoints;
  readonly #log: HistoryLog;
  #inside: FaultOrder | undefined;

  constructor(client: pg.PoolClient, socket: Socket, failpoints: Failpoints, log: HistoryLog) {
    this.#ask = client.query.bind(client) as unknown as Ask;
    this.#socket = socket;
    this.#failpoints = failpoints;
    this.#log = log;
    client.on("notice", (notice) => this.#reached(notice.message ?? ""));
  }

  readonly query = (query: Query, ...more: readonly unknown[]): Promise<Answer> | undefined => {
    const kind = more.length === 0 && typeof query?.text === "string" ? statementKind(query.text) : undefined;
    if (kind === undefined) return (this.#ask as (...given: unknown[]) => Promise<Answer>)(query, ...more);
    return this.#play(query, POINTS[kind], kind === "claim");
  };

  async #play(query: Query, points: (typeof POINTS)["claim"], isClaim: boolean): Promise<Answer> {
    this.#suffer(this.#failpoints.pass(points.begins));
    if (isClaim) await this.#arm();
    const sentAt = monotonicMs();
    const answering = this.#ask(query);
    const onTheWay = points.sent === undefined ? undefined : this.#failpoints.pass(points.sent);
    if (onTheWay?.does === "drop this connection") this.#drop(onTheWay);
    const answer = await answering;
    if (onTheWay?.does === "lose the database's answer") {
      onTheWay.hit();
      this.#socket.destroy();
      throw terminated();
    }
    for (const grant of grantsOf(query, answer)) this.#log.write({ what: "leased", sentAt, ...grant });
    if (points.answered !== undefined) this.#suffer(this.#failpoints.pass(points.answered));
    return answer;
  }

  /** Nothing was sent, or the answer is thrown away: the caller hears that the connection broke. */
  #suffer(consequence: Consequence | undefined): void {
    if (consequence === undefined) return;
    if (consequence.does === "drop this connection") this.#drop(consequence);
    else consequence.hit();
    throw terminated();
  }

  #drop(consequence: Consequence): void {
    this.#socket.once("close", () => consequence.hit());
    this.#socket.destroy();
  }

  /** Tells the trigger inside of the claim to wait at a point of its own. */
  async #arm(): Promise<void> {
    for (const point of INSIDE_POINTS) {
      const order = this.#failpoints.take(point);
      if (order === undefined) continue;
      this.#inside = order;
      const does = order.action === "throw" ? "raise" : order.action === "database connection dropped" ? "terminate" : "wait";
      const setting = `${point.split(" ")[0]}/${does}/${INSIDE_MS}`;
      await this.#ask({ text: "select set_config('chaos.inside', $1, false)", values: [setting] });
      return;
    }
  }

  /** The trigger said that the claim is there. */
  #reached(notice: string): void {
    const order = this.#inside;
    if (order === undefined || !notice.startsWith("chaos reached ") || !isInside(order.point)) return;
    this.#inside = undefined;
    // Those that the server does itself have come about with the notice.
    this.#failpoints.strike(order)?.hit();
  }
}

/** As node-postgres says it. */
function terminated(): Error {
  return new Error("Connection terminated unexpectedly");
}
