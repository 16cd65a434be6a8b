import { ExclaimError } from "../errors.ts";
import type { LockMode } from "./lock.ts";
import type { Call } from "./zookeeper-call.ts";
import { codeOf, NO_NODE, NODE_EXISTS } from "./zookeeper-client.ts";
import { type Contender, lineOf, ownerName, pathToCreate, type Spot, spotOf } from "./zookeeper-line.ts";
import type { Session } from "./zookeeper-session.ts";

/** Checks that travel together: well below the 1 MB that a server takes at once. */
const CHECK_BATCH = 500;

/** An owner and a key, as they stand on the server. */
export interface Claimant {
  readonly spot: Spot;
  /** Fit for a node's name. */
  readonly owner: string;
}

/** The nodes below the root, by the session of one client. Every method throws what the session throws. */
export class Nodes {
  readonly session: Session;
  readonly #root: string;

  constructor(session: Session, root: string) {
    this.session = session;
    this.#root = root;
  }

  claimant(key: string, owner: string): Claimant {
    return { spot: spotOf(this.#root, key), owner: ownerName(owner) };
  }

  async line(call: Call, spot: Spot): Promise<readonly Contender[]> {
    try {
      return lineOf(spot, await this.session.children(call, spot.bucket));
    } catch (error) {
      if (codeOf(error) === NO_NODE) return [];
      throw error;
    }
  }

  exists(call: Call, path: string): Promise<boolean> {
    return this.session.exists(call, path).then((stat) => stat !== null);
  }

  /** Whether this session made the node, so that it lives as long. */
  async isOurs(call: Call, path: string): Promise<boolean> {
    const stat = await this.session.exists(call, path);
    return stat !== null && this.session.owns(stat.ephemeralOwner);
  }

  /** Returns whether it was there. */
  async remove(call: Call, path: string): Promise<boolean> {
    try {
      await this.session.remove(call, path);
      return true;
    } catch (error) {
      if (codeOf(error) !== NO_NODE) throw error;
      return false;
    }
  }

  /** Which of the nodes are there. One that is gone fails its whole batch, so each is asked for then. */
  async check(call: Call, paths: readonly string[]): Promise<ReadonlySet<string>> {
    const batches: (readonly string[])[] = [];
    for (let start = 0; start < paths.length; start += CHECK_BATCH) batches.push(paths.slice(start, start + CHECK_BATCH));
    const there = await Promise.all(batches.map((batch) => this.#checkBatch(call, batch)));
    return new Set(there.flat());
  }

  async #checkBatch(call: Call, paths: readonly string[]): Promise<readonly string[]> {
    try {
      await this.session.check(call, paths);
      return paths;
    } catch (error) {
      if (codeOf(error) !== NO_NODE) throw error;
      if (paths.length === 1) return [];
      return (await Promise.all(paths.map((path) => this.#checkBatch(call, [path])))).flat();
    }
  }

  /** Puts a node of this session at the end of the line. Returns its path. Throws CONFIG_INVALID: nothing to put it under. */
  async join(call: Call, { spot, owner }: Claimant, mode: LockMode): Promise<string> {
    const path = pathToCreate(spot, owner, mode);
    try {
      return await this.session.join(call, path, spot.data);
    } catch (error) {
      if (codeOf(error) !== NO_NODE) throw error;
    }
    // All is sent at once, and carried out in order.
    const made = this.makeFolders(call, spot);
    const [joined] = await Promise.allSettled([this.session.join(call, path, spot.data)]);
    const obstacle = await made;
    if (joined.status === "fulfilled") return joined.value;
    if (codeOf(obstacle) === NO_NODE) throw this.#noParent();
    throw obstacle ?? joined.reason;
  }

  /** Makes the folders above the nodes of a key. Returns what stood against it, which is no failure if others made them. */
  async makeFolders(call: Call, { bucket }: Spot): Promise<unknown> {
    const parts = bucket.split("/").slice(1);
    const folders = parts.map((_, index) => `/${parts.slice(0, index + 1).join("/")}`);
    const results = await Promise.allSettled(folders.map((folder) => this.session.createFolder(call, folder)));
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
    return failures.find((reason) => codeOf(reason) !== NODE_EXISTS);
  }

  #noParent(): ExclaimError {
    const why = `zookeeper: ${this.#root} cannot be made, since what stands above it is not there`;
    const message = `${why}: create the chroot that the client's connection string names, or leave it out.`;
    return new ExclaimError("CONFIG_INVALID", message, { backend: "zookeeper" });
  }
}
