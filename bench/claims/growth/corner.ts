/** What a case has grown to. */
export interface Corner {
  /** Of its table, all free at first. */
  readonly rows: number;
  /** At least so many rows were claimed since the table and the ledger were vacuumed last. */
  readonly claimed: number;
  /** A transaction whose snapshot is older than those claims is open elsewhere all the while. */
  readonly held: boolean;
  /** Engines that share the claimants, each with connections of its own. */
  readonly pods: number;
  /** Campaigns over which rows and claims are spread evenly; with one, claims name none. */
  readonly scopes: number;
  /** The table is partitioned eight ways by the id's hash. */
  readonly partitioned: boolean;
}

/** How far a run goes: the last of each list is the largest. */
interface Reach {
  readonly rows: Readonly<Record<string, number>>;
  readonly claimed: Readonly<Record<string, number>>;
  readonly pods: Readonly<Record<string, number>>;
  readonly scopes: Readonly<Record<string, number>>;
  /** Where something else than the rows grows. */
  readonly usualRows: number;
}

const FULL: Reach = {
  rows: { "1e4": 1e4, "1e5": 1e5, "1e6": 1e6, "1e7": 1e7 },
  claimed: { 0: 0, "1e4": 1e4, "1e5": 1e5 },
  pods: { 1: 1, 4: 4, 16: 16, 64: 64 },
  scopes: { 1: 1, 10: 10, 100: 100, 1000: 1_000 },
  usualRows: 1e6,
};

/** The same names with little behind them. */
const SMOKE: Reach = {
  rows: { "1e4": 1e3, "1e5": 1e3, "1e6": 1e4, "1e7": 1e4 },
  claimed: { 0: 0, "1e4": 0, "1e5": 100 },
  pods: { 1: 1, 4: 1, 16: 2, 64: 2 },
  scopes: { 1: 1, 10: 1, 100: 4, 1000: 4 },
  usualRows: 1e3,
};

/** Every case of the group and its corner, in the order in which they are shown. */
export function cornersOf({ smoke }: { readonly smoke: boolean }): ReadonlyMap<string, Corner> {
  const reach = smoke ? SMOKE : FULL;
  const usual: Corner = { rows: reach.usualRows, claimed: 0, held: false, pods: 1, scopes: 1, partitioned: false };
  const along = (name: string, values: Readonly<Record<string, number>>, to: (value: number) => Partial<Corner>) =>
    Object.entries(values).map(([label, value]): [string, Corner] => [`growth-${name}-${label}`, { ...usual, ...to(value) }]);
  const plain = [
    ...along("rows", reach.rows, (rows) => ({ rows })),
    ...along("claimed", reach.claimed, (claimed) => ({ claimed })),
    ...along("held", reach.claimed, (claimed) => ({ claimed, held: true })),
    ...along("pods", reach.pods, (pods) => ({ pods })),
    ...along("scopes", reach.scopes, (scopes) => ({ scopes })),
  ];
  const partitioned = PARTITIONED.flatMap((name) =>
    plain
      .filter(([plainName]) => plainName === `growth-${name}`)
      .map(([, corner]): [string, Corner] => [`growth-partitioned-${name}`, { ...corner, partitioned: true }]),
  );
  return new Map([...plain, ...partitioned]);
}

const PARTITIONED = ["rows-1e6", "claimed-1e5", "held-1e5", "scopes-100"];
