import { ExclaimError, type ExclaimErrorCode, type ExclaimErrorDetails } from "../errors.ts";
import type { Row } from "./ledger.ts";
import type { PoolDefinition, Scope } from "./pool-definition.ts";

/** By table and column, how values compare: by their text, or as whole numbers of 64 bits. */
export type ColumnTypes = Readonly<Record<string, Readonly<Record<string, "text" | "number">>>>;

type Conditions = readonly (readonly [column: string, value: unknown])[];

/** A pool and scope, looked up and checked. */
export interface Target {
  readonly definition: PoolDefinition;
  readonly rows: readonly Row[];
  readonly idColumn: string;
  readonly scope: string;
  readonly scopeValues: Conditions;
  readonly where: Conditions;
  readonly order: readonly { readonly column: string; readonly sign: 1 | -1 }[];
}

/** The user's tables in memory: which row is free, whose it is, and how values compare. */
export class MemoryTables {
  readonly #tables: Readonly<Record<string, Row[]>>;
  readonly #columnTypes: ColumnTypes | undefined;
  /** Whether a claim that is not released names this row: then it is never free, whatever its owner column says. */
  readonly #isNamed: (table: string, id: string) => boolean;

  constructor(
    tables: Readonly<Record<string, Row[]>>,
    columnTypes: ColumnTypes | undefined,
    isNamed: (table: string, id: string) => boolean,
  ) {
    this.#tables = tables;
    this.#columnTypes = columnTypes;
    this.#isNamed = isNamed;
  }

  /** Refuses a scope of which a value is null or does not fit its column. Throws POOL_INVALID. */
  resolve(definition: PoolDefinition, scope: Scope): Target | ReturnType<typeof refusal> {
    const target = this.resolveAll(definition);
    const { table } = definition;
    const scopeValues: [column: string, text: string][] = [];
    for (const [column, value] of Object.entries(scope)) {
      const text = isNull(scope, column) ? undefined : this.fit(table, column, value);
      if (text === undefined) {
        return refusal("SCOPE_INVALID", "The scope value is null or does not fit its column.", { table, column });
      }
      scopeValues.push([column, text]);
    }
    scopeValues.sort(([a], [b]) => (a < b ? -1 : 1));
    return scopeValues.length === 0 ? target : { ...target, scope: JSON.stringify(scopeValues), scopeValues };
  }

  /** The whole pool, of no scope. Throws POOL_INVALID. */
  resolveAll(definition: PoolDefinition): Target {
    const { table, where = {}, orderBy } = definition;
    const rows = Object.hasOwn(this.#tables, table) ? this.#tables[table] : undefined;
    if (rows === undefined) throw new ExclaimError("POOL_INVALID", "The memory ledger has no such table.", { table });
    if (typeof where === "string")
      throw new ExclaimError("POOL_INVALID", "In memory `where` must be column values.", { table });
    return {
      definition,
      rows,
      idColumn: definition.idColumn ?? "id",
      scope: "",
      scopeValues: [],
      where: Object.entries(where),
      order: orderBy === undefined ? [] : orderBy.split(",").map((part) => parseOrder(part, table)),
    };
  }

  /** The row of that id, which fits the id column, for its claimant, or why there is none. */
  picked(target: Target, pick: string): { free: Row } | { status: "empty" | "taken" } {
    const { table } = target.definition;
    const row = this.rowById(target, this.#text(table, target.idColumn, pick));
    if (row === undefined || !this.#holds(table, row, target.scopeValues)) return { status: "empty" };
    return this.#isFree(target, row) ? { free: row } : { status: "taken" };
  }

  firstFree(target: Target): { free: Row } | { status: "empty" } {
    const compare = (left: Row, right: Row) =>
      target.order.reduce(
        (found, by) => found || by.sign * compareValues(left[by.column] ?? null, right[by.column] ?? null),
        0,
      );
    let first: Row | undefined;
    for (const row of target.rows) {
      if (!this.#isFree(target, row)) continue;
      if (first === undefined || compare(row, first) < 0) first = row;
      if (target.order.length === 0) break;
    }
    return first === undefined ? { status: "empty" } : { free: first };
  }

  #isFree(target: Target, row: Row): boolean {
    const { table, ownerColumn } = target.definition;
    if (!isNull(row, ownerColumn) || this.#isNamed(table, this.idOf(target, row))) return false;
    return this.#holds(table, row, target.scopeValues) && this.#holds(table, row, target.where);
  }

  #holds(table: string, row: Row, conditions: Conditions): boolean {
    return conditions.every(([column, value]) => {
      if (value === null || isNull(row, column)) return value === null && isNull(row, column);
      return this.#text(table, column, row[column]) === this.#text(table, column, value);
    });
  }

  isOwner(target: Target, row: Row, claimant: string): boolean {
    const { table, ownerColumn } = target.definition;
    return ownerColumn === undefined || this.#holds(table, row, [[ownerColumn, claimant]]);
  }

  idOf(target: Target, row: Row): string {
    return this.#text(target.definition.table, target.idColumn, row[target.idColumn]);
  }

  rowById(target: Target, id: string | null): Row | undefined {
    return target.rows.find((row) => this.idOf(target, row) === id);
  }

  /** The value's text in the column's own type; undefined when it does not fit. */
  fit(table: string, column: string, value: unknown): string | undefined {
    const text = textOf(value);
    if (this.#columnTypes?.[table]?.[column] !== "number") return text;
    if (!/^\s*[+-]?\d+\s*$/.test(text)) return undefined;
    const number = BigInt(text.trim().replace("+", ""));
    return BigInt.asIntN(64, number) === number ? String(number) : undefined;
  }

  #text(table: string, column: string, value: unknown): string {
    return this.fit(table, column, value) ?? textOf(value);
  }

  /** What is written for a text that fits. */
  value(table: string, column: string, text: string): unknown {
    if (this.#columnTypes?.[table]?.[column] !== "number") return text;
    return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
  }
}

export function refusal(code: ExclaimErrorCode, message: string, details: ExclaimErrorDetails) {
  return { status: "refused", error: new ExclaimError(code, message, details) } as const;
}

/** Whether the row has no value there. A pool without an owner column has no owner. */
export function isNull(row: Row, column: string | undefined): boolean {
  return column === undefined || row[column] === null || row[column] === undefined;
}

function textOf(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}

function parseOrder(part: string, table: string): { column: string; sign: 1 | -1 } {
  const match = /^\s*(\w+)(?:\s+(asc|desc))?\s*$/i.exec(part);
  if (match?.[1] === undefined) {
    throw new ExclaimError("POOL_INVALID", "The memory ledger orders by columns only: `priority desc, id`.", { table });
  }
  return { column: match[1], sign: match[2]?.toLowerCase() === "desc" ? -1 : 1 };
}

/** Ascending as Postgres has it: null after every value. */
function compareValues(left: unknown, right: unknown): number {
  if (left === right) return 0;
  if (left === null || right === null) return left === null ? 1 : -1;
  const isNumeric = typeof left !== "string" && typeof right !== "string";
  const [a, b] = isNumeric ? [Number(left), Number(right)] : [textOf(left), textOf(right)];
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
