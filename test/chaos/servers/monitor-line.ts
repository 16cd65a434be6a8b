/** A command that a Redis ran, as its MONITOR shows it. */
export interface MonitoredCommand {
  /** By the server's own time of day, in ms. */
  readonly timeMs: number;
  /** A script ran it: the script that was called last. */
  readonly isInScript: boolean;
  /** Lower case. */
  readonly name: string;
  readonly args: readonly string[];
}

const LINE = /^\+?(\d+\.\d+) \[\d+ ([^\]]*)\] (".*)$/;
const WORD = /"((?:[^"\\]|\\.)*)"/g;
const ESCAPE = /\\(x[0-9a-f]{2}|.)/g;
const CONTROLS: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", a: "\x07", b: "\b" };

/** Undefined for what is no command, as the answer to MONITOR itself. */
export function parseMonitorLine(line: string): MonitoredCommand | undefined {
  const [, seconds, source, words = ""] = LINE.exec(line) ?? [];
  if (seconds === undefined) return undefined;
  const [name = "", ...args] = Array.from(words.matchAll(WORD), ([, word = ""]) => unescaped(word));
  return { timeMs: Number(seconds) * 1_000, isInScript: source === "lua", name: name.toLowerCase(), args };
}

/** Redis shows bytes beyond ASCII one by one. */
function unescaped(word: string): string {
  if (!word.includes("\\")) return word;
  const bytes = word.replace(ESCAPE, (_all, sign: string) =>
    sign.length === 3 ? String.fromCharCode(Number.parseInt(sign.slice(1), 16)) : (CONTROLS[sign] ?? sign),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}
