import type { ClaimRef, Row } from "../../src/ledger/ledger.ts";
import type { MemoryLedger } from "../../src/ledger/memory.ts";
import type { MemoryResources } from "../../src/ledger/memory-resources.ts";
import type { TokenChanged } from "../checker/history.ts";
import type { Chronicle } from "./chronicle.ts";
import type { Scheduler } from "./scheduler.ts";

export const POOL_NAME = "voucher";
export const RESOURCE_NAME = "order";

interface KnownClaim {
  readonly token: bigint;
  readonly status: string;
  readonly resource: string;
  readonly holder: string;
  readonly leasedUntilMs: number;
}

interface KnownLease {
  readonly token: bigint;
  readonly status: string;
  readonly sharers: number;
  readonly holder: string | null;
  readonly leasedUntilMs: number;
}

/** How histories name a claimant: with the scope, since it has a row in each. */
export function claimantName(claimant: string, scope: string): string {
  return scope === "" ? claimant : `${claimant} of ${scope.slice(SCOPE_START.length, -SCOPE_END.length)}`;
}

/** As the memory ledger writes a scope of one column. */
const SCOPE_START = '[["campaign","';
const SCOPE_END = '"]]';

/** What the audit trigger of a real database does: sees every change of rows, claims and leases, in the order of their commits. */
export class Witness {
  readonly #chronicle: Chronicle;
  readonly #scheduler: Scheduler;
  readonly #rows: readonly Row[];
  readonly #ledger: MemoryLedger;
  readonly #resources: MemoryResources;
  readonly #owners: (string | null)[];
  readonly #claims = new Map<string, KnownClaim>();
  readonly #leases = new Map<string, KnownLease>();
  /** Whose acquisition has the claim, by the claimant's name: the ledger's answers tell, its snapshots do not. */
  readonly #holders = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  constructor(
    chronicle: Chronicle,
    scheduler: Scheduler,
    tables: { rows: Row[]; ledger: MemoryLedger; resources: MemoryResources },
  ) {
    this.#chronicle = chronicle;
    this.#scheduler = scheduler;
    this.#rows = tables.rows;
    this.#ledger = tables.ledger;
    this.#resources = tables.resources;
    this.#owners = tables.rows.map(() => null);
  }

  /** The ledger answered that this acquisition has the claim now. */
  granted({ claimant, scope }: ClaimRef, holder: string): void {
    this.#holders.set(claimantName(claimant, scope), holder);
  }

  /** Looks at claims and rows after a call that may have changed them. */
  lookAtClaims(): void {
    const at = this.#scheduler.nowMs;
    for (const { scope, claimant, resourceId, token, status, attempt, leasedUntilMs } of this.#ledger.claims()) {
      const name = claimantName(claimant, scope);
      const known = this.#claims.get(name);
      const holder = this.#holders.get(name) ?? "";
      const isSame = known?.token === token && known.status === status && known.holder === holder;
      if (isSame && known.leasedUntilMs === leasedUntilMs) continue;
      const resource = resourceId === null ? (known?.resource ?? "") : `${POOL_NAME}:${resourceId}`;
      this.#claims.set(name, { token, status, resource, holder, leasedUntilMs });
      this.#tell({ at, resource, claimant: name, token: Number(token), status, holder, attempt });
    }
    for (let index = 0; index < this.#rows.length; index += 1) {
      const row = this.#rows[index];
      const became = ownerOf(row);
      const was = this.#owners[index] ?? null;
      if (was === became) continue;
      this.#owners[index] = became;
      const resource = `${POOL_NAME}:${String(row?.id)}`;
      this.#chronicle.add({
        at,
        by: "audit",
        what: "owner",
        n: this.#next(`row ${resource}`),
        resource,
        was,
        became,
        pool: poolOf(row),
      });
    }
  }

  lookAtLeases(): void {
    const at = this.#scheduler.nowMs;
    for (const { resource, key, token, status, sharers, holder, leasedUntilMs } of this.#resources.leases()) {
      const name = `${resource}:${key}`;
      const known = this.#leases.get(name);
      const isSame = known?.token === token && known.status === status && known.holder === holder;
      const hasLeft = isSame && sharers.size < known.sharers;
      const isRenewed = isSame && status === "held" && leasedUntilMs !== known.leasedUntilMs;
      this.#leases.set(name, { token, status, sharers: sharers.size, holder, leasedUntilMs });
      if (token === 0n || (isSame && !hasLeft && !isRenewed)) continue;
      const became = hasLeft || status === "completed" ? "free" : status === "failed" ? "failed" : "held";
      const of = holder === null ? {} : { holder };
      this.#tell({ at, resource: name, claimant: key, token: Number(token), status: became, ...of });
    }
  }

  /** What the acquisitions of a process, whose names begin with its own, have still at an instant. */
  leftBy(process: string, at: number): string[] {
    const isIts = (holder: string | null | undefined) => holder?.startsWith(`${process}#`) === true;
    const claims = this.#ledger.claims().filter(({ scope, claimant, status, leasedUntilMs }) => {
      return status === "held" && leasedUntilMs > at && isIts(this.#holders.get(claimantName(claimant, scope)));
    });
    const leases = this.#resources.leases().filter(({ status, holder, leasedUntilMs, sharers }) => {
      if (status === "shared") return [...sharers].some(([sharer, untilMs]) => isIts(sharer) && untilMs > at);
      return status === "held" && leasedUntilMs > at && isIts(holder);
    });
    return [
      ...claims.map(({ resourceId }) => `${POOL_NAME}:${resourceId}`),
      ...leases.map(({ key }) => `${RESOURCE_NAME}:${key}`),
    ];
  }

  /** A fenced write left a row of the user's own. */
  wrote(resource: string, claimant: string, token: bigint, completes: boolean): void {
    const at = this.#scheduler.nowMs;
    const n = this.#next(resource);
    this.#chronicle.add({ at, by: "audit", what: "wrote", n, resource, claimant, token: Number(token), completes });
  }

  /** The dumps at the end. */
  dump(): void {
    const at = this.#scheduler.nowMs;
    for (const row of this.#rows) {
      const resource = `${POOL_NAME}:${String(row.id)}`;
      this.#chronicle.add({ at, by: "dump", what: "final-row", resource, owner: ownerOf(row), pool: poolOf(row) });
    }
    for (const { scope, claimant, resourceId, token, status } of this.#ledger.claims()) {
      const resource = resourceId === null ? null : `${POOL_NAME}:${resourceId}`;
      const about = { claimant: claimantName(claimant, scope), resource, token: Number(token), status };
      this.#chronicle.add({ at, by: "dump", what: "final-claim", ...about });
    }
  }

  /** The reason of a message is among the dead letters at the end. */
  keptLetter(message: string): void {
    this.#chronicle.add({ at: this.#scheduler.nowMs, by: "dump", what: "final-letter", message });
  }

  #tell(change: Omit<TokenChanged, "what" | "by" | "n">): void {
    this.#chronicle.add({ by: "audit", what: "token", n: this.#next(change.resource), ...change });
  }

  #next(of: string): number {
    const n = (this.#counts.get(of) ?? 0) + 1;
    this.#counts.set(of, n);
    return n;
  }
}

/** The pool and scope, as histories name it. */
export function poolName(scope: string | null): string {
  return scope === null ? POOL_NAME : `${POOL_NAME} ${scope}`;
}

function poolOf(row: Row | undefined): string {
  return poolName(typeof row?.campaign === "string" ? row.campaign : null);
}

/** The owner column's value, with the scope of its row, as histories name claimants. */
function ownerOf(row: Row | undefined): string | null {
  if (typeof row?.user_id !== "string") return null;
  return typeof row.campaign === "string" ? `${row.user_id} of ${row.campaign}` : row.user_id;
}
