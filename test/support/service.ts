/** Where a server runs on this machine: where its programs are, and the temporary folder that is all its own. */
export interface Place {
  /** The folder that has every program named in `binaries`. */
  readonly binaryFolder: string;
  /** A temporary folder, owned by the account the server runs as. Removed when the server is stopped. */
  readonly folder: string;
}

/** A program to run, as data. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** Which process a server we started must prove to be, so that a stranger on the same port is not taken for it. */
export interface StartedServer {
  readonly pid: number;
  readonly folder: string;
}

/**
 * One kind of server the tests need: everything the ladder must know to come by it.
 * Shape: an exported constant in `test/support/services/`, which is all that a further server takes.
 */
export interface Service {
  /** Names the shared servers for the tests, and the temporary folders. */
  readonly name: string;
  /** What people call it, for messages. */
  readonly title: string;
  /** The environment variable that names servers already running: one URL, or as many as `count`, parted by commas. */
  readonly variable: string;
  /** How many of them the tests share. */
  readonly count: number;
  /** The same server as a container. */
  readonly container: {
    readonly image: string;
    readonly port: number;
    readonly command?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
    /** Folders kept in memory. */
    readonly tmpfs?: readonly string[];
  };
  /** Programs that must lie together in one folder: of PATH first, then of `folders`, whose `*` stands for any one name. */
  readonly binaries: readonly string[];
  readonly folders: readonly string[];
  /** The Debian package that brings the programs. */
  readonly debianPackage: string;
  /** Whether the programs refuse to run as root, so that root starts them as an unprivileged account. */
  readonly refusesRoot: boolean;
  /** The signal that ends the server at once and lets it take its children and shared memory with it. */
  readonly endSignal: NodeJS.Signals;
  /** What runs, one after another, before the first start. */
  prepare?(place: Place): readonly Command[];
  /** The server itself, in the foreground, listening on 127.0.0.1 alone. */
  start(place: Place, port: number): Command;
  /** Clears what a killed server leaves behind outside of its folder. */
  cleanUp?(folder: string): void;
  url(host: string, port: number): string;
  /** Resolves once the server at the URL answers. With `started` it must also be that process. Rejects while it does not. */
  probe(url: string, started?: StartedServer): Promise<void>;
}
