/**
 * Milliseconds of the machine's monotonic clock. All processes of one machine read the same one, so instants that different
 * processes took can be compared.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
