/**
 * One pod: a process that waits as a spare until it is told what to serve, then serves both queues until it is killed or told to stop.
 * It strikes itself where and when it was ordered to, and writes down all it does in a log of its own.
 */
import pg from "pg";
import { createExclaim } from "../../../src/index.ts";
import { HistoryLog, monotonicMs } from "../history-log.ts";
import type { Assignment, Closed, FromPod, ToPod } from "../pod-messages.ts";
import { randomOf } from "../random-of.ts";
import { Diagnosis } from "./diagnosis.ts";
import { dispatchEffects } from "./dispatch-effects.ts";
import { EffectCalls } from "./effect-calls.ts";
import { Failpoints } from "./failpoints.ts";
import { faultyDatabase } from "./faulty-database.ts";
import { faultyLock } from "./faulty-lock.ts";
import { openLock } from "./open-lock.ts";
import { Relay } from "./relay.ts";
import { serveBullmq } from "./serve-bullmq.ts";
import { serveRabbitmq } from "./serve-rabbitmq.ts";
import { openService } from "./service.ts";

const SERVE = { bullmq: serveBullmq, rabbitmq: serveRabbitmq };
const DRAIN_MS = 8_000;
/** A process that has not closed everything by then says at what it is. */
const LATE_MS = 20_000;
/** Of one that closed in order and did not end by itself. */
const LEFT_EXIT = 70;

const tell = (message: FromPod): void => {
  if (process.connected) process.send?.(message);
};
const effectCalls = new EffectCalls(tell);
const diagnosis = new Diagnosis();
let serving: Promise<void> = Promise.resolve();
let stop = async (): Promise<Closed> => ({ isDrained: true, owners: [] });
let isClosing = false;
let hasClosed = false;
/** The broker's client keeps the process alive. */
let mustExit = false;
let isCalm = false;
let calm = (): void => {};
let tellLate = (): void => {};
/** One that does not serve yet may be about to. */
let countInHand = (): number => 1;

process.on("message", (message: ToPod) => {
  switch (message.say) {
    case "serve":
      serving = serve(message.assignment);
      void serving.then(() => tell({ say: "serving" }));
      return;
    case "calm":
      // One that does not serve yet is not to begin with faults when it does.
      isCalm = true;
      calm();
      return;
    case "count":
      tell({ say: "in hand", count: countInHand() });
      return;
    case "close":
      close();
      return;
    case "stop":
      close();
      setTimeout(() => tellLate(), LATE_MS).unref();
      return;
    case "received":
      effectCalls.answered(message.call);
  }
});
// Ctrl-C reaches all processes of a terminal, and the nemesis ends this one.
process.on("SIGINT", () => {});
// The nemesis is gone: nobody would ever end this process.
process.on("disconnect", () => setTimeout(() => process.exit(hasClosed ? LEFT_EXIT : 0), DRAIN_MS).unref());
tell({ say: "spare" });

/** As a program does when it is told to end, whatever it has in hand. `hit` is called once all is closed. */
function close(hit = (): void => {}): void {
  if (isClosing) return;
  isClosing = true;
  void closeOnce(hit);
}

async function closeOnce(hit: () => void): Promise<void> {
  tell({ say: "closing", atMs: monotonicMs() });
  // One that does not serve yet has nothing to stop, and would serve then.
  await serving;
  const left = await stop();
  hit();
  diagnosis.step = "has closed everything";
  hasClosed = true;
  if (process.connected) process.send?.({ say: "closed", ...left } satisfies FromPod, leave);
}

function leave(): void {
  if (mustExit) process.exit(0);
  process.disconnect();
}

async function serve(assignment: Assignment): Promise<void> {
  const { pod, seed, ttlMs, orders } = assignment;
  const log = new HistoryLog(assignment.logFile, pod);
  diagnosis.writeTo(assignment.diagnosisFile);
  diagnosis.step = "opens its connections";
  watchEscapes(log);
  const closesAtWork = (hit: () => void): void => {
    // What is to be seen is what becomes of its work, and not of other faults of its own.
    failpoints.calm();
    close(hit);
  };
  const failpoints = new Failpoints(orders, { log, tell, close: closesAtWork });
  const database = new pg.Pool({ connectionString: assignment.databaseUrl, max: 8, application_name: pod });
  database.on("error", () => {});
  const plain = new pg.Pool({ connectionString: assignment.databaseUrl, max: 3, application_name: pod });
  plain.on("error", () => {});
  const lock = await openLock(assignment);
  const broker = await Relay.open(assignment.brokerUrl);
  calm = () => {
    failpoints.calm();
    broker.relay.calm();
  };
  if (isCalm) calm();
  failpoints.connect({ lock: lock.connections, broker: broker.relay, database: faultyDatabase(database, failpoints, log) });
  const faulty = lock.backend && faultyLock(lock.backend, failpoints);
  const exclaim = createExclaim({ database, ttlMs, ...(faulty && { lock: faulty.backend }) });
  const sendEffects = effectCalls.send;
  const service = openService(exclaim, assignment, {
    log,
    failpoints,
    random: randomOf(seed, pod),
    ttlMs,
    sendEffects,
    mayTakeLong: () => !isCalm && monotonicMs() < assignment.longUntilMs,
    loseBrokerAnswer: (sign, hit) => broker.relay.loseAnswer(sign, hit),
    hasDelivered: () => tell({ say: "delivered" }),
  });
  const consumers = await SERVE[assignment.broker](broker.url, service);
  const dispatcher = dispatchEffects(plain, effectCalls.send);
  diagnosis.step = "serves";
  countInHand = () => service.inHand.size;
  tellLate = () => {
    if (hasClosed) return;
    log.write({ what: "escaped", kind: "left-connection", detail: `${pod} is late: ${diagnosis.describe()}` });
  };
  stop = async () => {
    diagnosis.step = "closes its handlers";
    const beganAt = monotonicMs();
    const consumersClosed = consumers.close();
    await exclaim.close({ drainMs: DRAIN_MS });
    const isDrained = monotonicMs() - beganAt < DRAIN_MS;
    diagnosis.step = "closes the consumers";
    mustExit = (await consumersClosed) === "hung";
    diagnosis.step = "closes the outbox dispatcher";
    await dispatcher.close();
    diagnosis.step = "closes the lock";
    await lock.close();
    broker.relay.close();
    diagnosis.step = "closes the database";
    await Promise.all([database.end(), plain.end()]);
    return { isDrained, owners: [...(faulty?.owners ?? [])] };
  };
}

function watchEscapes(log: HistoryLog): void {
  const detailOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.on("unhandledRejection", (error) => log.write({ what: "escaped", kind: "rejection", detail: detailOf(error) }));
  process.on("uncaughtException", (error) => log.write({ what: "escaped", kind: "exception", detail: detailOf(error) }));
}
