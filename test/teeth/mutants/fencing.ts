import type { Check, Mutant } from "../mutant.ts";

const at = (file: string, titles: string): Check => ({ files: [`test/ledger/${file}.test.ts`], titles });

/** Of tokens that nobody compares, and of commits whose fate is unknown. */
export const mutants: readonly Mutant[] = [
  {
    bug: "no fence: a transaction and its completion do not compare the token",
    file: "src/ledger/claim-fence.ts",
    instead: "and token = $4 and resource_id = $5 and status = 'held' for key share",
    plant: "and $4::bigint > 0 and resource_id = $5 and status = 'held' for key share",
    also: [
      {
        instead: "and token = $4 and resource_id = $5 and status = 'held'`",
        plant: "and $4::bigint > 0 and resource_id = $5 and status = 'held'`",
      },
    ],
    caughtBy: at("postgres", "S4 is fenced after a takeover, its work not run"),
  },
  {
    bug: "no fence on a named resource",
    file: "src/ledger/lease-fence.ts",
    instead: "and token = $3 for key share\n       ),",
    plant: "and $3::bigint > 0 for key share\n       ),",
    also: [{ instead: "where status = 'held' and holder = $4 or exists", plant: "where $4::text <> '' or exists" }],
    caughtBy: at("resource-postgres", "S4 is fenced before its work"),
  },
  {
    bug: "the fence is looked at and not held: a takeover slips in before COMMIT",
    file: "src/ledger/claim-fence.ts",
    instead: " and status = 'held' for key share",
    plant: " and status = 'held'",
    caughtBy: at("fenced-transactions", "S4 keeps a takeover out"),
  },
  {
    bug: "a completion does not compare the token",
    file: "src/ledger/complete-claims.ts",
    instead: `where \${HELD_BY_TOKEN}`,
    plant: `where \${HELD_BY_TOKEN.replace('l.newest and', '')}`,
    caughtBy: at("postgres", "S4 cannot complete once the claim was resumed"),
  },
  {
    bug: "a release does not compare the token",
    file: "src/ledger/release-claims.ts",
    instead: "where newest and status in",
    plant: "where status in",
    caughtBy: at("postgres", "S4 cannot release once the claim was resumed"),
  },
  {
    bug: "a renewal does not compare the token",
    file: "src/ledger/renew-claims.ts",
    instead: `where \${HELD_BY_TOKEN}`,
    plant: `where \${HELD_BY_TOKEN.replace('l.newest and', '')}`,
    caughtBy: at("postgres", "S4 cannot renew the lease it once had"),
  },
  {
    bug: "tokens come from a sequence of which each connection keeps a stock",
    file: "migrations/0001-claims-ledger.sql",
    instead: "create table released_tokens (",
    plant: "create sequence kept_tokens cache 1000;\ncreate table released_tokens (",
    also: [
      {
        file: "src/ledger/claim-rows.ts",
        instead: "coalesce(t.token, 0) + 1 as token",
        plant: `nextval('\${schema}.kept_tokens') as token`,
      },
      {
        file: "src/ledger/claim-new-rows.ts",
        instead: `coalesce((select t.token from \${schema}.last_released_tokens($1, array[f.key]) t), 0) + 1`,
        plant: `nextval('\${schema}.kept_tokens')`,
      },
      {
        file: "src/ledger/claim-new-rows.ts",
        instead: "f.key, coalesce(t.token, 0) + 1,",
        plant: `f.key, nextval('\${schema}.kept_tokens'),`,
      },
    ],
    caughtBy: at("token-order", "S3 grow in the order in which their claims commit"),
  },
  {
    bug: "the token of a named resource is made from what was read before the lock",
    file: "src/ledger/take-exclusive.ts",
    instead: "token = l.token + case when d.own then 0 else 1 end,",
    plant: "token = (select k.token from known k where k.key = d.key) + case when d.own then 0 else 1 end,",
    caughtBy: at("resource-races", "S3 a key that is taken and ended meanwhile"),
  },
  {
    bug: "a key that looked free is taken without another look under its lock",
    file: "src/ledger/take-exclusive.ts",
    instead: `d.own or not (\${isKept("d.until", "d.not_before", "c.now")}) as free`,
    plant: "true as free",
    caughtBy: at("resource-races", "R1 a key that somebody takes for long meanwhile"),
  },
  {
    bug: "an exclusive lease beside live sharers",
    file: "src/ledger/known-leases.ts",
    instead: `then \${schema}.shared_until($1, \${lease}.key, \${lease}.token) else`,
    plant: "then null else",
    caughtBy: at("resource-races", "R7 a sharer"),
  },
  {
    bug: "the interval between two starts is not kept",
    file: "src/ledger/known-leases.ts",
    instead: `or coalesce(\${notBefore} > \${now}, false)\``,
    plant: `or (false and \${notBefore} > \${now})\``,
    caughtBy: at("resource-races", "R5 a key that is taken, ended and left to rest"),
  },
  {
    bug: "a COMMIT that was not answered is taken for a failure",
    file: "src/ledger/fenced-transaction.ts",
    instead: 'if (sqlState(error) !== undefined && databaseFault(error) !== "unreachable") throw error;\n    return error;',
    plant: 'throw databaseError(error, "COMMIT failed");',
    caughtBy: at("lost-commits", "S5 resolves when the answer to its COMMIT is lost"),
  },
  {
    bug: "a COMMIT that was not answered is taken for a success",
    file: "src/ledger/fenced-transaction.ts",
    instead: "if (lostAnswer !== undefined) await inquire(ports, fence, { id: transactionId, life }, lostAnswer);\n",
    plant: "",
    caughtBy: at("lost-commits", "S5 is told DATABASE_UNREACHABLE when its COMMIT never reached"),
  },
  {
    bug: "the outbox is written outside the transaction",
    file: "src/ledger/fenced-transaction.ts",
    instead: "const { rows } = await ask({\n          text: `insert into",
    plant: "const { rows } = await ports.statements.run({\n          text: `insert into",
    caughtBy: at("fenced-work", "is undone whole when it throws"),
  },
];
