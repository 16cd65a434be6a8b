import { randomFillSync } from "node:crypto";

/** The only source of chance. Tests and simulations pass a seeded one. */
export interface Random {
  /** An id nobody else draws: 128 random bits as hexadecimal text. Proves ownership of a lease, so it must not be guessable. */
  id(): string;
  /** A number in [0, 1), for jitter only. */
  fraction(): number;
}

/** Drawn at one go: asking for each id alone takes longer than what is done with it. */
const POOL_BYTES = 8_192;

const pool = Buffer.alloc(POOL_BYTES);
let drawn = POOL_BYTES;

/** Where the next `bytes` unused ones are. Each is used once. */
function draw(bytes: number): number {
  if (drawn + bytes > POOL_BYTES) {
    randomFillSync(pool);
    drawn = 0;
  }
  const start = drawn;
  drawn += bytes;
  return start;
}

/** Chance from the operating system. */
export const systemRandom: Random = {
  id() {
    const start = draw(16);
    return pool.toString("hex", start, start + 16);
  },
  fraction: () => pool.readUInt32BE(draw(4)) / 2 ** 32,
};
