import pg from "pg";
import { describe, expect, it } from "vitest";
import { ClockMarks } from "./clock-marks.ts";

/** Never asked: what the database's clock said is given. */
const NO_DATABASE = new pg.Pool();

describe("the times that a database wrote down", () => {
  it("are told by the monotonic clock, also from between two jumps of the database's", () => {
    const clock = new ClockMarks(NO_DATABASE);

    for (const [atMs, saysMs] of [
      [1_000, 50_000],
      [2_000, 51_000],
      [2_500, 111_500],
      [3_500, 112_500],
      [4_000, 53_000],
    ] as const) {
      clock.mark(atMs, atMs, saysMs);
    }

    expect([50_500, 112_000, 53_200].map((ms) => clock.monotonicOf(ms))).toEqual([1_500, 3_000, 4_200]);
  });

  it("pass over answers so slow that they say nothing", () => {
    const clock = new ClockMarks(NO_DATABASE);

    clock.mark(1_000, 1_000, 50_000);
    clock.mark(2_000, 3_000, 51_900);

    expect(clock.monotonicOf(51_000)).toBe(2_000);
  });

  it("are as exact as the fastest answer of their stretch", () => {
    const clock = new ClockMarks(NO_DATABASE);

    clock.mark(1_000, 1_040, 50_020);
    clock.mark(2_000, 2_008, 51_004);
    clock.mark(3_000, 3_030, 112_015);

    expect([clock.monotonicOf(50_500), clock.errorMs]).toEqual([1_500, 4]);
    expect([clock.monotonicOf(112_100), clock.errorMs]).toEqual([3_100, 15]);
  });

  it("are not known where nobody looked at the clock", () => {
    const clock = new ClockMarks(NO_DATABASE);

    clock.mark(1_000, 1_000, 50_000);

    expect(clock.monotonicOf(110_000)).toBeNaN();
  });
});
