import type { EnginePorts } from "../../src/claim/engine-parts.ts";
import { pause } from "../../src/clock.ts";
import { ExclaimError, isExclaimError } from "../../src/errors.ts";
import type { ClaimRef, EndAnswer, Row, StoredResult, Transaction } from "../../src/ledger/ledger.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Network } from "./network.ts";
import type { Plan } from "./plan.ts";
import { effectOf, type ServerTransaction, type SimDatabase, type TransactionSubject } from "./sim-database.ts";
import type { SimProcess } from "./sim-process.ts";

/** How long, and how often, what became of a COMMIT is asked: as the real transactions do. */
const COMMIT_INQUIRY_MS = 5_000;
const COMMIT_INQUIRY_PAUSE_MS = 100;

export interface LedgerPorts {
  readonly plan: Plan;
  readonly network: Network;
  readonly database: SimDatabase;
  readonly chronicle: Chronicle;
}

type DatabasePorts = Pick<EnginePorts, "ledger" | "resourceLedger" | "deadLetters" | "importOutcomes">;

/** The database as one process sees it, through the network. */
export function ledgerOf(process: SimProcess, ports: LedgerPorts): DatabasePorts {
  const { plan, database, chronicle } = ports;
  const { ledger, resources, deadLetters } = database;

  function ask<T>(what: () => string, act: () => Promise<T>): Promise<T> {
    return ports.network.call({ from: process, to: "database", what, act });
  }

  function seenLeases<T>(answer: Promise<T>): Promise<T> {
    database.witness.lookAtLeases();
    return answer;
  }

  /** The process may trust what it was granted, counted from the sending. */
  function leased(subject: TransactionSubject, sentAt: number, ttlMs: number): void {
    const { resource, token } = effectOf(subject);
    chronicle.add({ at: process.nowMs(), by: process.name, what: "leased", resource, token, sentAt, ttlMs });
  }

  async function end(
    verb: string,
    claims: readonly ClaimRef[],
    wait: boolean | undefined,
    act: (index: number) => Promise<readonly EndAnswer[]>,
  ): Promise<readonly EndAnswer[]> {
    return ask(
      () => `${verb} the claim of ${names(claims)}${wait === true ? ", and waits" : ""}`,
      () => database.endClaims(claims, wait === true, act),
    );
  }

  return {
    ledger: {
      async claim(batch) {
        const sentAt = process.nowMs();
        const answers = await ask(
          () => `asks for a row for ${names(batch.requests)}`,
          () => database.claim(batch),
        );
        for (const answer of answers) if (answer.status === "claimed") leased({ claim: answer.claim }, sentAt, batch.ttlMs);
        return answers;
      },
      ...(plan.hasClaimNew
        ? {
            async claimNew(batch) {
              const sentAt = process.nowMs();
              const answers = await ask(
                () => `asks for a row for ${names(batch.requests)}, as new`,
                () => database.claimNew(batch),
              );
              for (const answer of answers) {
                if (answer?.status === "claimed") leased({ claim: answer.claim }, sentAt, batch.ttlMs);
              }
              return answers;
            },
          }
        : {}),
      complete: (completions, options) =>
        end(
          "completes",
          completions.map(({ claim }) => claim),
          options?.wait,
          (index) => ledger.complete(completions.slice(index, index + 1)),
        ),
      fail: (claims, options) => end("ends", claims, options?.wait, (index) => ledger.fail(claims.slice(index, index + 1))),
      release: (pool, claims, options) =>
        end("gives back", claims, options?.wait, (index) => ledger.release(pool, claims.slice(index, index + 1))),
      async renew(claims, ttlMs) {
        const sentAt = process.nowMs();
        const answers = await ask(
          () => `renews the claim of ${names(claims)}`,
          () => database.renew(claims, ttlMs),
        );
        answers.forEach((answer, index) => {
          const claim = claims[index];
          if (claim === undefined) return;
          if (answer === "done") leased({ claim }, sentAt, ttlMs);
          // From now on the process must not trust it, however much of the last lease is left.
          else if (answer === "lost") leased({ claim }, sentAt, 0);
        });
        return answers;
      },
      transact: (claim, work, completion) => transact(process, ports, { claim }, work, completion),
      find: (pool, scope, claimant) =>
        ask(
          () => `looks for the claim of ${claimant}`,
          () => ledger.find(pool, scope, claimant),
        ),
    },
    resourceLedger: {
      async take(batch) {
        const sentAt = process.nowMs();
        const answers = await ask(
          () => `takes the lease of ${batch.requests.map(({ key }) => key).join(", ")}`,
          () => seenLeases(resources.take(batch)),
        );
        for (const answer of answers) if (answer.status === "held") leased({ lease: answer.lease }, sentAt, batch.ttlMs);
        return answers;
      },
      async renew(leases, ttlMs) {
        const sentAt = process.nowMs();
        const answers = await ask(
          () => `renews the lease of ${leases.map(({ key }) => key).join(", ")}`,
          () => seenLeases(resources.renew(leases, ttlMs)),
        );
        answers.forEach((answer, index) => {
          const lease = leases[index];
          if (lease === undefined) return;
          if (answer === "done") leased({ lease }, sentAt, ttlMs);
          // From now on the process must not trust it, however much of the last lease is left.
          else if (answer === "lost" && plan.resource.mode === "exclusive") leased({ lease }, sentAt, 0);
        });
        return answers;
      },
      end: (ends) =>
        ask(
          () => `ends the lease of ${ends.map(({ lease }) => lease.key).join(", ")}`,
          () => seenLeases(resources.end(ends)),
        ),
      transact: (lease, work, { ends = false } = {}) =>
        transact(process, ports, { lease }, work, ends ? () => undefined : undefined),
    },
    deadLetters: {
      record: (letters) =>
        ask(
          () => `notes that ${letters.map(({ messageId }) => messageId).join(", ")} is given up`,
          () => deadLetters.record(letters),
        ),
    },
    importOutcomes: { settle: async () => {} },
  };
}

/** A fenced transaction, step by step, with the answers that the real one gives when one of its steps is not answered. */
async function transact<T>(
  process: SimProcess,
  { network, database }: LedgerPorts,
  subject: TransactionSubject,
  work: (tx: Transaction) => Promise<T>,
  completion?: (value: T) => StoredResult,
): Promise<T> {
  const { claimant } = effectOf(subject);
  const ask = <A>(what: string, act: () => Promise<A>, isCommit = false): Promise<A> =>
    network.call({ from: process, to: "database", what: () => `${what} of ${claimant}`, act, isCommit });
  const transaction = await ask("begins a transaction under the claim", () => database.begin(subject, process));
  let value: T;
  let lostAnswer: unknown;
  try {
    value = await work({
      token: "claim" in subject ? subject.claim.token : subject.lease.token,
      client: undefined,
      async query<R extends Row>() {
        await ask("writes in the transaction", () => inside(transaction, () => transaction.writes++));
        return { rows: [] as R[], rowCount: 1 };
      },
      async publish(topic) {
        return await ask("publishes in the transaction", () => inside(transaction, () => transaction.messages.push(topic)));
      },
    });
    if (completion !== undefined) {
      const result = completion(value);
      await ask("completes in the transaction", () =>
        inside(transaction, () => {
          transaction.completion = { result };
        }),
      );
    }
    lostAnswer = await ask("commits the transaction", () => database.commit(transaction), true).then(
      () => undefined,
      (error: unknown) => {
        if (isExclaimError(error, "DATABASE_UNREACHABLE")) return error;
        throw error;
      },
    );
  } catch (error) {
    await ask("rolls back the transaction", async () => database.abort(transaction)).catch(() => {});
    throw error;
  }
  if (lostAnswer !== undefined) {
    await inquire(process, ask, transaction, { close: () => database.abort(transaction), cause: lostAnswer });
  }
  return value;
}

/** What one statement inside the transaction does, while its connection stands. */
async function inside(transaction: ServerTransaction, act: () => unknown): Promise<string> {
  if (transaction.status !== "open") throw new ExclaimError("DATABASE_UNREACHABLE", "the connection has ended");
  act();
  return "";
}

async function inquire(
  process: SimProcess,
  ask: <A>(what: string, act: () => Promise<A>) => Promise<A>,
  transaction: ServerTransaction,
  { close, cause }: { readonly close: () => void; readonly cause: unknown },
): Promise<void> {
  const endMs = process.nowMs() + COMMIT_INQUIRY_MS;
  // The connection is closed for good: what is still open there will be undone.
  void ask("closes the connection of the transaction", async () => close()).catch(() => {});
  do {
    const status = await ask("asks what became of the transaction", async () => transaction.status).catch(() => "open");
    if (status === "committed") return;
    if (status === "aborted") throw new ExclaimError("DATABASE_UNREACHABLE", "the transaction was rolled back", { cause });
    await pause(process.clock, COMMIT_INQUIRY_PAUSE_MS);
  } while (process.nowMs() < endMs);
  throw new ExclaimError("COMMIT_UNKNOWN", "the answer to COMMIT was lost", { cause });
}

function names(of: readonly { readonly claimant: string }[]): string {
  return of.map(({ claimant }) => claimant).join(", ");
}
