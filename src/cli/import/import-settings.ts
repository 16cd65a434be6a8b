import { ExclaimError } from "../../errors.ts";
import type { BrokerKind } from "../connection-flags.ts";

/** What an import was begun with: kept with it, so that `exclaim import resume <id>` needs nothing else. Addresses are not in it. */
export interface ImportSettings {
  /** Absolute. */
  readonly file: string;
  readonly format: ImportFormat;
  readonly delimiter?: string;
  /** The column, or field, that a row is called by. */
  readonly key: string;
  /** Columns by the field of the payload they go to. None: the row as it is. */
  readonly map?: Readonly<Record<string, string>>;
  readonly broker: BrokerKind;
  readonly queue?: string;
  readonly exchange?: string;
  readonly routingKey?: string;
  readonly prefix?: string;
  readonly attempts?: number;
  readonly maxRejected?: number;
  readonly maxBacklog?: number;
  readonly chunk?: number;
}

export type ImportFormat = "csv" | "ndjson";

/** Recognises settings of this program: an import of somebody's own code may keep others. */
const KIND = "exclaim import";

export function storedSettings(settings: ImportSettings): Readonly<Record<string, unknown>> {
  return { kind: KIND, ...settings };
}

/** What decides which message a row becomes, and where it goes: two runs that differ in it are no one import. With its option. */
const DECISIVE = {
  broker: "--broker",
  queue: "--queue",
  exchange: "--exchange",
  routingKey: "--routing-key",
  prefix: "--prefix",
  key: "--key",
  map: "--map",
  format: "--format",
  delimiter: "--delimiter",
} as const satisfies Partial<Record<keyof ImportSettings, string>>;

/** The options by which one import is not the other. The order of a mapping is of no concern. */
export function differingSettings(one: ImportSettings, other: ImportSettings): readonly string[] {
  const names = Object.keys(DECISIVE) as (keyof typeof DECISIVE)[];
  return names.filter((name) => comparable(one[name]) !== comparable(other[name])).map((name) => DECISIVE[name]);
}

function comparable(setting: string | Readonly<Record<string, string>> | undefined): string | undefined {
  return typeof setting === "object" ? JSON.stringify(Object.entries(setting).sort()) : setting;
}

/** Settings of this program, or undefined where the import was not begun by it. */
export function ownSettings(stored: Readonly<Record<string, unknown>> | undefined): ImportSettings | undefined {
  if (stored?.kind !== KIND) return undefined;
  const { kind: _kind, ...settings } = stored;
  return settings as unknown as ImportSettings;
}

/** Throws CONFIG_INVALID: the import was not begun by this program. */
export function readSettings(id: string, stored: Readonly<Record<string, unknown>> | undefined): ImportSettings {
  const settings = ownSettings(stored);
  if (settings !== undefined) return settings;
  throw new ExclaimError(
    "CONFIG_INVALID",
    `import ${id} was begun by a program of its own, which alone knows how to go on: call its fanOut() with this id`,
  );
}
