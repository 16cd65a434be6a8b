import type { PostgresConnection, PostgresPool } from "../../src/lock/postgres-pool.ts";
import { settle } from "../support/manual-clock.ts";

/** A statement under way: the test decides when it is answered, and how. */
export interface ScriptedStatement {
  /** The function that it calls; what calls none is a sweep. */
  readonly calls: string;
  answer(row: unknown): Promise<void>;
  fail(error: Error): Promise<void>;
}

/** A pool whose server answers nothing by itself. */
export interface ScriptedPool extends PostgresPool {
  /** Every statement so far, in order. */
  readonly statements: readonly ScriptedStatement[];
  /** Of the connections that came back: whether each was closed. */
  readonly returned: readonly boolean[];
}

export function scriptedPool(): ScriptedPool {
  const statements: ScriptedStatement[] = [];
  const returned: boolean[] = [];
  const connection = (): PostgresConnection => ({
    query: ({ text }) =>
      new Promise((resolve, reject) => {
        statements.push({
          calls: /\w+_locks?(?=\()/.exec(text)?.[0] ?? "sweep",
          answer: (row) => {
            resolve({ rows: [row] });
            return settle();
          },
          fail: (error) => {
            reject(error);
            return settle();
          },
        });
      }),
    release: (isSuspect = false) => returned.push(isSuspect),
    on: () => {},
    removeListener: () => {},
  });
  return { statements, returned, connect: (checkedOut) => checkedOut(undefined, connection()) };
}
