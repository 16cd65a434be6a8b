import type { MysqlConnection, MysqlPool } from "../../src/lock/mysql-pool.ts";
import { settle } from "../support/manual-clock.ts";

/** A statement under way: the test decides when it is answered, and how. */
export interface ScriptedStatement {
  /** Its first word. */
  readonly verb: string;
  answer(outcome?: { affectedRows?: number; insertId?: number; serverStatus?: number }): Promise<void>;
  fail(error: Error): Promise<void>;
}

/** A pool whose server answers nothing by itself. */
export interface ScriptedPool extends MysqlPool {
  /** Every statement so far, in order. */
  readonly statements: readonly ScriptedStatement[];
  /** Of the connections that came back: whether each was closed. */
  readonly returned: readonly boolean[];
}

export function scriptedPool(): ScriptedPool {
  const statements: ScriptedStatement[] = [];
  const returned: boolean[] = [];
  const connection = (): MysqlConnection => ({
    query: ({ sql }) =>
      new Promise((resolve, reject) => {
        statements.push({
          verb: /^\w+/.exec(sql)?.[0] ?? sql,
          answer: (outcome = {}) => {
            resolve([{ affectedRows: 1, insertId: 0, serverStatus: 2, ...outcome }, undefined]);
            return settle();
          },
          fail: (error) => {
            reject(error);
            return settle();
          },
        });
      }),
    release: () => void returned.push(false),
    destroy: () => void returned.push(true),
    on: () => {},
    removeListener: () => {},
  });
  return { statements, returned, getConnection: async () => connection() };
}
