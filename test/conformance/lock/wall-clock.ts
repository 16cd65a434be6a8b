/**
 * Lets a program move its own wall clock. Whoever wants that imports this file before all others, so that nobody has kept the true
 * `Date`. The monotonic clock goes on as it was.
 */
const TrueDate = globalThis.Date;
let shiftMs = 0;

class MovedDate extends TrueDate {
  constructor(...args: [] | ConstructorParameters<typeof TrueDate>) {
    if (args.length === 0) super(TrueDate.now() + shiftMs);
    else super(...args);
  }

  static override now(): number {
    return TrueDate.now() + shiftMs;
  }
}

globalThis.Date = MovedDate as DateConstructor;

/** Sets the wall clock that much ahead of the true time, or behind. */
export function setWallClockAhead(ms: number): void {
  shiftMs = ms;
}
