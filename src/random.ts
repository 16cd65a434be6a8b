import { randomBytes } from "node:crypto";

/** The only source of chance. Tests and simulations pass a seeded one. */
export interface Random {
  /** An id nobody else draws: 128 random bits as hexadecimal text. Proves ownership of a lease, so it must not be guessable. */
  id(): string;
  /** A number in [0, 1), for jitter only. */
  fraction(): number;
}

/** Chance from the operating system. */
export const systemRandom: Random = {
  id: () => randomBytes(16).toString("hex"),
  fraction: () => randomBytes(4).readUInt32BE() / 2 ** 32,
};
