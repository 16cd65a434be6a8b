import { describe, expect, it } from "vitest";
import type { Fault } from "../checker/history.ts";
import { isDisturbed } from "./close-watch.ts";

const FAULT = { what: "fault", by: "nemesis", id: "1" } as const;
/** The time for which it is asked. */
const TIME = { fromMs: 1_000, toMs: 2_000 };

describe("the close of a process", () => {
  it.each<{ title: string; faults: readonly Partial<Fault>[] }>([
    { title: "a server that was struck then", faults: [{ target: "postgres", phase: "injected", at: 1_500 }] },
    { title: "a server that was struck before and is not healed", faults: [{ target: "postgres", phase: "injected", at: 10 }] },
    {
      title: "a server that was healed then",
      faults: [
        { target: "redis-1", phase: "injected", at: 10 },
        { target: "redis-1", phase: "healed", at: 1_001 },
      ],
    },
    { title: "its own connection that was cut", faults: [{ kind: "lock connection dropped at F2 lock held", at: 1_200 }] },
    {
      title: "its own stop that ended then",
      faults: [
        { kind: "SIGSTOP beyond the ttl at F2 lock held", at: 10 },
        { kind: "SIGSTOP beyond the ttl at F2 lock held", phase: "healed", at: 1_100 },
      ],
    },
  ])("is disturbed by $title", ({ faults }) => {
    expect(isDisturbed(faults.map(completed), "pod-1.1", TIME)).toBe(true);
  });

  it.each<{ title: string; faults: readonly Partial<Fault>[] }>([
    {
      title: "a server that was healed before",
      faults: [{ target: "postgres" }, { target: "postgres", phase: "healed", at: 900 }],
    },
    { title: "a server that was struck later", faults: [{ target: "postgres", at: 2_001 }] },
    { title: "what another process was struck by", faults: [{ target: "pod-2.1", at: 1_500 }] },
    {
      title: "its own connection that was cut before",
      faults: [{ kind: "broker connection dropped at F0 delivered", at: 900 }],
    },
    { title: "itself", faults: [{ kind: "close at F9 handler entered", at: 1_500 }] },
    { title: "a handler of its own that threw", faults: [{ kind: "throw at F11 effect answered", at: 1_500 }] },
  ])("is not disturbed by $title", ({ faults }) => {
    expect(isDisturbed(faults.map(completed), "pod-1.1", TIME)).toBe(false);
  });
});

function completed(fault: Partial<Fault>): Fault {
  return { ...FAULT, kind: "postgres hung shortly", target: "pod-1.1", phase: "injected", at: 10, ...fault };
}
