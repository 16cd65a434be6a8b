import type { HistoryEvent, InvariantName, LockCommand, OwnerChanged, Started, TokenChanged, Wrote } from "./history.ts";

/**
 * I1 to I4 as they are defined, over all pairs of events: slow, and written apart from the scans, to compare them with.
 * Shape: events of pool rows alone, with one counter and times in its order.
 */
export function brokenByDefinition(history: readonly HistoryEvent[]): Set<InvariantName> {
  const inOrder = <E extends { readonly n: number }>(events: E[]): E[] => events.sort((one, other) => one.n - other.n);
  const owners = inOrder(history.filter((event) => event.what === "owner"));
  const changes = inOrder(history.filter((event) => event.what === "token"));
  const wrote = inOrder(history.filter((event) => event.what === "wrote"));
  const broken = new Set<InvariantName>();
  if (hasTwoOwners(owners) || hasTwoClaims(changes)) broken.add("I1");
  if (hasTwoRows(changes) || isServedAgain(changes)) broken.add("I2");
  if (hasOldGrant(changes) || isStartedTwice(history.filter((event) => event.what === "started"))) broken.add("I3");
  if (hasOldWrite(changes, wrote)) broken.add("I4");
  return broken;
}

function isLive({ status }: TokenChanged): boolean {
  return status === "held" || status === "completed" || status === "failed";
}

/** Some owner follows another, and the row was never free between them. */
function hasTwoOwners(owners: readonly OwnerChanged[]): boolean {
  return owners.some((second, at) => {
    if (second.became === null) return false;
    if (second.was !== null && second.was !== second.became) return true;
    const before = owners.slice(0, at).filter(({ resource }) => resource === second.resource);
    const lastFree = before.findLastIndex(({ became }) => became === null);
    return before.slice(lastFree + 1).some(({ became }) => became !== second.became);
  });
}

/** Some claim of a row is live, and so is another claimant's, who did not release it between. */
function hasTwoClaims(changes: readonly TokenChanged[]): boolean {
  return changes.some((second, at) => {
    if (!isLive(second)) return false;
    return changes.slice(0, at).some((first, from) => {
      if (!isLive(first) || first.resource !== second.resource || first.claimant === second.claimant) return false;
      const between = changes.slice(from + 1, at);
      return !between.some((one) => one.resource === first.resource && one.claimant === first.claimant && !isLive(one));
    });
  });
}

/** After some change, the latest word on two rows is that the same claimant has them. */
function hasTwoRows(changes: readonly TokenChanged[]): boolean {
  return changes.some((last, at) => {
    const until = changes.slice(0, at + 1).filter(({ claimant }) => claimant === last.claimant);
    const rows = new Set(until.map(({ resource }) => resource));
    const live = [...rows].filter((row) => {
      const word = until.findLast(({ resource }) => resource === row);
      return word !== undefined && isLive(word);
    });
    return live.length > 1;
  });
}

/** Some claim is held after it was completed, and was nothing else between. */
function isServedAgain(changes: readonly TokenChanged[]): boolean {
  return changes.some((second, at) => {
    if (second.status !== "held") return false;
    return changes.slice(0, at).some((first, from) => {
      const isSame = (one: TokenChanged) => one.claimant === second.claimant && one.resource === second.resource;
      if (first.status !== "completed" || !isSame(first)) return false;
      const between = changes.slice(from + 1, at).filter(({ resource }) => resource === second.resource);
      return between.every((one) => isSame(one) && (one.status === "held" || one.status === "completed"));
    });
  });
}

/** Some two deliveries, not both of a shared resource, were started under one token of it. */
function isStartedTwice(starts: readonly Started[]): boolean {
  return starts.some((one) =>
    starts.some((other) => {
      const isSame = one.resource === other.resource && one.token === other.token && one.delivery !== other.delivery;
      return isSame && (one.mode !== "shared" || other.mode !== "shared");
    }),
  );
}

/** Some token is below an earlier one, or granted when it had been there before: to a claimant, or to another acquisition of it. */
function hasOldGrant(changes: readonly TokenChanged[]): boolean {
  return changes.some((second, at) => {
    const before = changes.slice(0, at).filter(({ resource }) => resource === second.resource);
    const last = before.at(-1);
    const isOther = last?.holder !== undefined && second.holder !== undefined && last.holder !== second.holder;
    const isRenewal = last?.status === "held" && last.claimant === second.claimant && !isOther;
    const isGrant = second.status === "held" && !isRenewal;
    return before.some(({ token }) => token > second.token || (isGrant && token === second.token));
  });
}

/** Some write is under a token below one that was granted or written under before it. */
function hasOldWrite(changes: readonly TokenChanged[], wrote: readonly Wrote[]): boolean {
  return wrote.some((write) =>
    [...changes, ...wrote].some(({ n, resource, token }) => n < write.n && resource === write.resource && token > write.token),
  );
}

/**
 * I10 of three nodes as it is defined: at some moment two owners have two nodes each. Shape: commands on one key, with one counter and
 * times in its order; an owner has a node from an answer until its time is over or it gave it back.
 */
export function hasTwoMajorities(commands: readonly LockCommand[]): boolean {
  const owners = new Set(commands.map(({ owner }) => owner));
  const has = (of: string, node: string, at: number): boolean => {
    const own = commands.findLast((one) => one.owner === of && one.node === node && one.at <= at);
    return own !== undefined && own.did !== "released" && own.at + (own.ttlMs ?? 0) > at;
  };
  return commands.some(({ at }) => {
    const majorities = [...owners].filter((of) => ["n1", "n2", "n3"].filter((node) => has(of, node, at)).length > 1);
    return majorities.length > 1;
  });
}
