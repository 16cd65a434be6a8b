import { type Add, added, all, altered, type Change, completes, without } from "./base-history.ts";
import type { Fault } from "./history.ts";

/** A lease lasts 100 ms and a redelivery 50: within 10,150 ms of the death at 1,010 the claimant must be served again. */
const TIMES = { ttlMs: 100, redeliveryMs: 50 } as const;
const IN_TIME = 1_200;
const TOO_LATE = 11_200;

/** The process that serves `c` dies in its work, and the message is served again when `at` says. */
function diesAndIsServed(at: number): Change {
  return all(
    altered("frame", { mark: "began" }, TIMES),
    altered("frame", { mark: "calm" }, { withinMs: 100_000 }),
    altered("frame", { mark: "ended" }, { at: 20_000 }),
    added((add) => {
      add("sent", { message: "m-c", mode: "pool", claimant: "c", isPoison: false });
      add("delivered", { delivery: "m-c/0", message: "m-c", by: "pod-2.1", at: 1_000 });
      add("owner", { n: 1, resource: "voucher:3", was: null, became: "c", at: 1_001 });
      add("token", { n: 1, resource: "voucher:3", claimant: "c", token: 1, status: "held", at: 1_001 });
      const started = { delivery: "m-c/0", claimant: "c", resource: "voucher:3", token: 1, attempt: 1, resumed: false };
      add("started", { ...started, by: "pod-2.1", at: 1_002 });
      add("fault", { id: "death", kind: "SIGKILL at any moment", target: "pod-2.1", phase: "injected", at: 1_005 });
      add("fault", { id: "death", kind: "SIGKILL at any moment", target: "pod-2.1", phase: "hit", at: 1_010 });
      completes((what, fields) => add(what, { ...fields, at }), "m-c", "c", 3, 2);
      add("final-message", { message: "m-c", state: "completed" });
      add("final-claim", { claimant: "c", resource: "voucher:3", token: 2, status: "completed" });
    }),
    without("owner", { n: 21 }),
    without("held", { delivery: "m-c/1" }),
    altered("started", { delivery: "m-c/1" }, { attempt: 2, resumed: true }),
    altered("final-row", { resource: "voucher:3" }, { owner: "c" }),
  );
}

/** One fault more, by the times of its phases. */
function strikes(target: string, times: Partial<Readonly<Record<Fault["phase"], number>>>): Change {
  return added((add) => {
    for (const phase of ["injected", "hit", "healed"] as const) {
      const at = times[phase];
      if (at !== undefined) add("fault", { id: `of ${target}`, kind: "struck", target, phase, at });
    }
  });
}

/** A third process, which has work of its own, and is seen for as long as the claimant waits. */
function othersWork(add: Add): void {
  add("delivered", { delivery: "m-b/2", message: "m-b", by: "pod-3.1", at: 900 });
  add("outcome", { delivery: "m-b/2", claimant: "b", status: "replayed", by: "pod-3.1", at: 11_250 });
}

/** It was handed the message in time, and the claim was not to be had. */
function isToldToWait(add: Add): void {
  add("delivered", { delivery: "m-c/5", message: "m-c", by: "pod-3.1", at: 1_100 });
  add("outcome", { delivery: "m-c/5", claimant: "c", status: "contended", by: "pod-3.1", at: 1_101 });
}

/** The death keeps its claimant waiting for too long, and nothing else is to blame. */
export const badDeaths: readonly (readonly [wrong: string, change: Change])[] = [
  ["nobody serves the claimant of a dead process in time", diesAndIsServed(TOO_LATE)],
  ["it is told to wait in time, and served too late", all(diesAndIsServed(TOO_LATE), added(isToldToWait))],
  [
    "another process that never had its message is struck, and one is left that can serve",
    all(diesAndIsServed(TOO_LATE), added(othersWork), strikes("pod-3.1", { injected: 2_000, hit: 3_000, healed: 3_000 })),
  ],
  [
    "a server was struck, and healed long before",
    all(diesAndIsServed(TOO_LATE), strikes("postgres", { injected: 500, hit: 510, healed: 600 })),
  ],
  ["a fault was put in and did not hit", all(diesAndIsServed(TOO_LATE), strikes("postgres", { injected: 2_000 }))],
  [
    "the dead process was struck for a moment before it died",
    all(diesAndIsServed(TOO_LATE), strikes("pod-2.1", { injected: 1_003, hit: 1_004 })),
  ],
];

/** Nothing of these may be flagged: after the death all was in time. */
export const goodDeaths: readonly (readonly [what: string, change: Change])[] = [
  ["the claimant is served again in time", diesAndIsServed(IN_TIME)],
  ["the claimant is told to wait, and served in time", all(diesAndIsServed(IN_TIME), added(isToldToWait))],
  [
    "the process died when its completion was committed",
    all(
      diesAndIsServed(TOO_LATE),
      added((add) => add("token", { n: 2, resource: "voucher:3", claimant: "c", token: 1, status: "completed", at: 1_011 })),
      altered("frame", { mark: "began" }, { mayRerun: true }),
    ),
  ],
];

/** Nobody knows who is to blame, or whether there was anything to be freed. */
export const unjudgedDeaths: readonly (readonly [what: string, change: Change])[] = [
  [
    "a server is struck meanwhile",
    all(diesAndIsServed(TOO_LATE), strikes("postgres", { injected: 2_000, hit: 2_001, healed: 2_500 })),
  ],
  [
    "a server was struck shortly before",
    all(diesAndIsServed(TOO_LATE), strikes("postgres", { injected: 800, hit: 810, healed: 900 })),
  ],
  [
    "a server is struck for so short that its probe sees nothing",
    all(diesAndIsServed(TOO_LATE), strikes("postgres", { injected: 2_000, healed: 2_001 })),
  ],
  [
    "the process that has the message next is struck",
    all(diesAndIsServed(TOO_LATE), added(isToldToWait), added(othersWork), strikes("pod-3.1", { injected: 1_090, hit: 1_095 })),
  ],
  [
    "all other processes are struck",
    all(
      diesAndIsServed(TOO_LATE),
      added(othersWork),
      strikes("pod-1.1", { injected: 2_000, hit: 2_001 }),
      strikes("pod-3.1", { injected: 2_000, hit: 2_001 }),
    ),
  ],
  [
    "the dead process is cut off beyond its death",
    all(diesAndIsServed(TOO_LATE), strikes("pod-2.1", { injected: 1_003, hit: 1_004, healed: 1_500 })),
  ],
  ["the run ends before the time is over", all(diesAndIsServed(IN_TIME), altered("frame", { mark: "ended" }, { at: 11_000 }))],
  [
    "the claim was taken over before",
    all(diesAndIsServed(TOO_LATE), altered("token", { resource: "voucher:3", token: 2, status: "held" }, { at: 1_009 })),
  ],
  ["the message may be given up", all(diesAndIsServed(TOO_LATE), altered("sent", { message: "m-c" }, { mayDie: true }))],
  [
    "the process was done with the delivery",
    all(
      diesAndIsServed(TOO_LATE),
      added((add) => add("outcome", { delivery: "m-c/0", claimant: "c", status: "failed", by: "pod-2.1", at: 1_008 })),
    ),
  ],
  [
    "the process had told the broker of the delivery",
    all(
      diesAndIsServed(TOO_LATE),
      added((add) => {
        const settle = { delivery: "m-c/0", message: "m-c", disposition: "retry" } as const;
        add("settle", { ...settle, phase: "invoke", by: "pod-2.1", at: 1_008 });
      }),
    ),
  ],
  [
    "the broker's time is not known",
    all(diesAndIsServed(TOO_LATE), (events) =>
      events.map((event) => {
        if (event.what !== "frame" || event.mark !== "began") return event;
        const { redeliveryMs: _, ...rest } = event;
        return rest;
      }),
    ),
  ],
];
