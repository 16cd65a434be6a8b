import type { Clock } from "../clock.ts";
import type { Statements } from "./run-statement.ts";

/** A setting of the server by which it answers a COMMIT that it may yet forget. */
export interface UnsafeSetting {
  readonly setting: string;
  readonly value: string;
}

/** Off, each of them gives up what was acknowledged when the machine, or with the last one the server, stops at the wrong moment. */
const UNSAFE_SQL = `select name as setting, setting as value from pg_catalog.pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off' order by name`;

const ASK_AGAIN_MS = 30_000;

/**
 * Looks once, beside the first work, whether the connection keeps what it commits, and tells of each setting that says otherwise.
 * Returns what is to be called before work. Whatever stands in the way of looking is met by the work itself, and looked for again.
 */
export function durabilityWatch(
  server: Statements,
  clock: Clock,
  tell: ((found: UnsafeSetting) => void) | undefined,
): () => void {
  let wasAsked = tell === undefined;
  return () => {
    if (wasAsked) return;
    wasAsked = true;
    server.run({ text: UNSAFE_SQL }).then(
      ({ rows }) => {
        for (const row of rows) tell?.(row as UnsafeSetting);
      },
      // Not by every call of an outage.
      () => {
        clock.after(ASK_AGAIN_MS, () => {
          wasAsked = false;
        });
      },
    );
  };
}
