import { completeClaimsSql } from "./complete-claims.ts";
import { failClaimsSql } from "./fail-claims.ts";
import type { OpenPool } from "./open-pool.ts";
import { releaseClaimsSql } from "./release-claims.ts";
import { renewClaimsSql } from "./renew-claims.ts";
import { type RepeatedText, repeatedText } from "./repeated-text.ts";

/** The statements that end or renew claims, each written once. `wait`: for claims that a transaction holds; else they are passed over. */
export interface EndTexts {
  complete(wait: boolean | undefined): RepeatedText;
  fail(wait: boolean | undefined): RepeatedText;
  release(pool: OpenPool, wait: boolean | undefined): RepeatedText;
  readonly renew: RepeatedText;
}

export function endTexts(schema: string): EndTexts {
  const complete = bothWays((wait) => completeClaimsSql(schema, wait));
  const fail = bothWays((wait) => failClaimsSql(schema, wait));
  const releases = new WeakMap<OpenPool, (wait: boolean | undefined) => RepeatedText>();
  return {
    complete,
    fail,
    release(pool, wait) {
      const release = releases.get(pool) ?? bothWays((waiting) => releaseClaimsSql(schema, pool, waiting));
      releases.set(pool, release);
      return release(wait);
    },
    renew: repeatedText(renewClaimsSql(schema)),
  };
}

function bothWays(write: (wait: boolean) => string): (wait: boolean | undefined) => RepeatedText {
  const [passing, waiting] = [repeatedText(write(false)), repeatedText(write(true))];
  return (wait) => (wait ? waiting : passing);
}
