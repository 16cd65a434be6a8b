import { type Add, added, all, altered, type Change, without } from "./base-history.ts";
import type { LockCommand } from "./history.ts";

const lock = { node: "redis-1", key: "k" } as const;

/** Commands on one key of three nodes: at what time whom which node gave the lock, for 1,000 ms. */
type Given = readonly [at: number, owner: string, node: number, did?: LockCommand["did"]];

function onNodes(...given: readonly Given[]): Change {
  return added((add) => {
    for (const [index, [at, owner, node, did = "acquired"]] of given.entries()) {
      const was = did === "acquired" ? null : owner;
      add("lock", { n: 10 + index, node: `redis-${node}`, key: "q", owner, did, was, ttlMs: 1_000, at });
    }
  });
}

const MOST_OF_O1: readonly Given[] = [
  [10, "o1", 1],
  [10, "o1", 2],
];
const MOST_OF_O2: readonly Given[] = [
  [299, "o2", 3],
  [300, "o2", 2],
];

/** What is wrong with locks, as a phrase, and what makes the base history into it. I10 rejects it. */
export const badLockHistories: readonly (readonly [invariant: "I10", wrong: string, change: Change])[] = [
  [
    "I10",
    "a lock of another is released",
    added((add) => add("lock", { ...lock, n: 4, owner: "o2", did: "released", was: "o1" })),
  ],
  [
    "I10",
    "a lock of another is extended",
    added((add) => add("lock", { ...lock, n: 4, owner: "o2", did: "extended", was: "o1" })),
  ],
  [
    "I10",
    "a lock that was released is extended",
    added((add) => add("lock", { ...lock, n: 4, owner: "o1", did: "extended", was: null })),
  ],
  ["I10", "a held lock is acquired", added((add) => add("lock", { ...lock, n: 4, owner: "o2", did: "acquired", was: "o1" }))],
  [
    "I10",
    "a lock is acquired before its time is over",
    all(
      without("lock", { n: 3 }),
      added((add) => add("lock", { ...lock, n: 4, owner: "o2", did: "acquired", was: null })),
    ),
  ],
  ["I10", "two owners have most of three nodes at once", onNodes(...MOST_OF_O1, ...MOST_OF_O2)],
  [
    "I10",
    "an owner extended on most nodes, and another gets most of them before its new time is over",
    onNodes(...MOST_OF_O1, [900, "o1", 1, "extended"], [900, "o1", 2, "extended"], [1_500, "o2", 3], [1_501, "o2", 2]),
  ],
  [
    "I10",
    "two owners have most of three nodes at once, long after a server forgot",
    all(onNodes(...MOST_OF_O1, ...MOST_OF_O2), forgot(2, 8)),
  ],
];

/** Hard, and right. */
export const goodLockHistories: readonly (readonly [what: string, change: Change])[] = [
  [
    "a held lock is acquired while a server forgets",
    all(
      without("lock", { n: 3 }),
      forgot(112, 114),
      added((add) => add("lock", { ...lock, n: 4, owner: "o2", did: "acquired", was: null, at: 150 })),
    ),
  ],
  [
    "two owners have most of three nodes at once, after one of them forgot",
    all(onNodes(...MOST_OF_O1, ...MOST_OF_O2), forgot(200, 210)),
  ],
  [
    "an owner gave back one of its two nodes of three, and another gets it",
    onNodes(...MOST_OF_O1, [200, "o1", 2, "released"], ...MOST_OF_O2),
  ],
  [
    "an owner's time on most nodes is over when another gets them",
    onNodes(...MOST_OF_O1, [1_010, "o2", 1], [1_010, "o2", 2], [1_010, "o2", 3]),
  ],
  ["a node of three is given away early, of one who had no other", onNodes([10, "o1", 2], ...MOST_OF_O2)],
  [
    "two owners have two nodes of five each",
    all(altered("frame", { mark: "began" }, { lockNodes: 5 }), onNodes(...MOST_OF_O1, ...MOST_OF_O2)),
  ],
];

function forgot(fromAt: number, toAt: number): Change {
  const fault = { id: "f9", kind: "forgets", target: "redis-2", breaksExclusion: true } as const;
  return added((add) => {
    add("fault", { ...fault, phase: "injected", at: fromAt });
    add("fault", { ...fault, phase: "healed", at: toAt });
  });
}

/** A claimant whose lease of 10 ms was over at 70 is told at 170 that it must wait, with these commands on its lock before. */
function keptAt(...given: readonly (readonly [at: number, owner: string, claimant: string])[]): Change {
  return added((add) => {
    add("frame", { mark: "began", ttlMs: 10 });
    add("sent", { message: "m-w", mode: "pool", claimant: "w", isPoison: true });
    add("token", { n: 1, resource: "order:z", claimant: "w", token: 1, status: "held", at: 60 });
    add("delivered", { delivery: "m-w/2", message: "m-w", at: 149 });
    for (const [index, [at, owner, claimant]] of given.entries()) {
      const key = `exclaim:voucher:campaign=a%20b:${claimant}`;
      add("lock", { n: 10 + index, node: "redis-1", key, owner, did: "acquired", was: null, ttlMs: 1, at });
    }
    add("outcome", { delivery: "m-w/2", claimant: "w", status: "contended", at: 170 });
    add("final-message", { message: "m-w", state: "dead-letter" });
  });
}

/** The same process was handed another message of the claimant, and may have had its lock. */
function alsoServes(add: Add): void {
  add("delivered", { delivery: "m-w/3", message: "m-w", at: 150 });
}

/** I13 rejects them. */
export const badWaits: readonly (readonly [invariant: "I13", wrong: string, change: Change])[] = [
  ["I13", "a claimant is kept waiting by a lease that is over, and had its own lock itself", keptAt([160, "pod-1.1#3", "w"])],
  [
    "I13",
    "a claimant is kept waiting by a lease that is over, while others' locks are in use",
    keptAt([160, "pod-2.1#3", "v"]),
  ],
];

export const goodWaits: readonly (readonly [what: string, change: Change])[] = [
  ["contended, while another process has the claimant's lock", keptAt([140, "pod-2.1#3", "w"])],
  [
    "contended, while another acquisition of the process has the claimant's lock",
    keptAt([155, "pod-1.1#3", "w"], [160, "pod-1.1#4", "w"]),
  ],
  ["contended, while an earlier acquisition of the process has the claimant's lock", keptAt([148, "pod-1.1#3", "w"])],
  [
    "contended, while another delivery of the process may have the claimant's lock",
    all(keptAt([160, "pod-1.1#3", "w"]), added(alsoServes)),
  ],
];
