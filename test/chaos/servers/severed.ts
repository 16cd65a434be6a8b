import type { ServerFault } from "../fault.ts";

/** The connections of clients, as the server itself tells them. */
export interface Connections {
  /** By ids that are not given twice. */
  list(): Promise<readonly string[]>;
  end(ids: readonly string[]): Promise<void>;
}

/** The server ends the connections of all its clients at once, and takes new ones. */
export function severed(target: string, kind: string, { list, end }: Connections): ServerFault {
  let victims: readonly string[] = [];
  return {
    kind,
    target,
    breaksExclusion: false,
    lastsMs: [100, 400],
    inject: async () => {
      victims = await list();
      await end(victims);
    },
    hasHit: async () => {
      const there = new Set(await list());
      return victims.length > 0 && victims.every((id) => !there.has(id));
    },
    heal: async () => {
      victims = [];
    },
  };
}
