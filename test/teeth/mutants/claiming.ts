import type { Check, Mutant } from "../mutant.ts";

const at = (file: string, titles: string): Check => ({ files: [`test/ledger/${file}.test.ts`], titles });
const contract = (titles: string): Check => at("postgres", titles);

const NEW_ROWS = "src/ledger/claim-new-rows.ts";
const PIECES = "src/ledger/claim-pieces.ts";
const TABLES = "migrations/0001-claims-ledger.sql";

/** The index that would refuse a second claim on a row, whatever else is wrong. */
const NO_RESOURCE_KEY = {
  file: TABLES,
  instead: "create unique index claims_resource on claims (pool, resource_id)",
  plant: "create index claims_resource on claims (pool, resource_id)",
};
const NO_OWNER_CONDITION = { file: PIECES, instead: `\` and t.\${owner.sql} is null\``, plant: '""' };

/** Of how a row is chosen, and by whom. */
export const mutants: readonly Mutant[] = [
  {
    bug: "naive: the row is read, then written, without a lock, a condition or a key",
    file: "src/ledger/claim-rows.ts",
    instead: "limit (select count(*) from fresh)\n    for update skip locked",
    plant: "limit (select count(*) from fresh)",
    also: [
      { file: NEW_ROWS, instead: `limit \${party.members}\n      for update skip locked`, plant: `limit \${party.members}` },
      NO_OWNER_CONDITION,
      NO_RESOURCE_KEY,
    ],
    caughtBy: contract("many at once (S1|S6)"),
  },
  {
    bug: "lock after the read: rows are chosen first and locked then, without another look",
    file: "src/ledger/claim-rows.ts",
    instead: "limit (select count(*) from fresh)\n    for update skip locked\n  ) c",
    plant: `limit (select count(*) from fresh)\n  ) c join lateral (select 1 as locked from \${pool.table} x where \${idText('x')} = c.id for update) x on true`,
    also: [
      {
        file: "src/ledger/claim-rows.ts",
        instead: "chosen as materialized (\n  select * from (",
        plant: "chosen as materialized (\n  select c.* from (",
      },
      {
        file: NEW_ROWS,
        instead: `return \`select \${party.scope} as scope, \${id} as id,`,
        plant: `return \`select y.scope, y.id, y.key, y.previous from (select * from (select \${party.scope} as scope, \${id} as id,`,
      },
      {
        file: NEW_ROWS,
        instead: `limit \${party.members}\n      for update skip locked`,
        plant: `limit \${party.members} offset 0) z offset 0) y join lateral (select 1 as locked from \${pool.table} x where x.\${pool.id.sql} = y.id for update) x on true`,
      },
      NO_OWNER_CONDITION,
      NO_RESOURCE_KEY,
    ],
    caughtBy: contract("many at once (S1|S6)"),
  },
  {
    bug: "no unique key on the resource",
    ...NO_RESOURCE_KEY,
    caughtBy: contract("owner somebody set to null S1"),
  },
  {
    bug: "no unique key on the claimant: its claims are told apart by who asks",
    file: TABLES,
    instead: "primary key (claimant, scope, pool),",
    plant: "primary key (claimant, scope, pool, holder),",
    also: [
      {
        file: "src/ledger/claim-rows.ts",
        instead: "on conflict (pool, scope, claimant) do nothing",
        plant: "on conflict (pool, scope, claimant, holder) do nothing",
      },
      {
        file: NEW_ROWS,
        instead: "order by r.claimant, r.scope, r.place\n  on conflict (pool, scope, claimant) do nothing",
        plant: "order by r.claimant, r.scope, r.place\n  on conflict (pool, scope, claimant, holder) do nothing",
      },
      {
        file: NEW_ROWS,
        instead: 'from "exclaim request" r, chosen f\n  on conflict (pool, scope, claimant) do nothing',
        plant: 'from "exclaim request" r, chosen f\n  on conflict (pool, scope, claimant, holder) do nothing',
      },
    ],
    caughtBy: at("claim-races", "S2 get one row"),
  },
  {
    bug: "a claimant that somebody added meanwhile is an error, not contention",
    file: NEW_ROWS,
    instead: 'from "exclaim request" r, chosen f\n  on conflict (pool, scope, claimant) do nothing',
    plant: 'from "exclaim request" r, chosen f',
    also: [
      {
        file: "src/ledger/claim-rows.ts",
        instead: "order by g.claimant\n  on conflict (pool, scope, claimant) do nothing",
        plant: "order by g.claimant",
      },
    ],
    caughtBy: at("claim-races", "do not wait for each other"),
  },
  {
    bug: "empty on a SKIP LOCKED miss: free rows that others hold locked are not looked for",
    file: "src/ledger/claim-rows.ts",
    instead: "case when (select leftover from leftover) then 'contended' else 'empty' end",
    plant: "'empty'",
    caughtBy: at("claim-limits", "S6"),
  },
  {
    bug: "a picked row that somebody has locked this moment is told as taken",
    file: "src/ledger/claim-rows.ts",
    instead: "when v.id is null then 'empty' when v.free then 'contended' else 'taken' end",
    plant: "when v.id is null then 'empty' else 'taken' end",
    caughtBy: at("claim-limits", "S6 makes a pick of it contended"),
  },
  {
    bug: "resume picks a second row after a failure",
    file: "src/ledger/claim-rows.ts",
    instead: "(l.status = 'released' and not l.over)",
    plant: "(l.status in ('released', 'failed') and not l.over)",
    also: [{ instead: "(l.status in ('failed', 'completed') or (", plant: "(l.status in ('completed') or (" }],
    caughtBy: contract("S2 resumes the same row at once after a failure"),
  },
  {
    bug: "a live lease is taken over",
    file: "src/ledger/claim-rows.ts",
    instead: "(l.own or not l.live)",
    plant: "(l.own or l.live is not null)",
    caughtBy: contract("C2 is contended for another holder"),
  },
  {
    bug: "who asks again after a lost answer is a stranger",
    file: "src/claim/pool-claims.ts",
    instead: "const requests = members.map(({ request }) => request);",
    plant: `const asked = members.map(({ request }) => request);\n    const requests = asked.map((request) => ({ ...request, holder: \`\${request.holder}\${clock.now()}\` }));`,
    caughtBy: at("lost-answers", "S5 runs its handler once"),
  },
  {
    bug: "two scopes share a claimant",
    file: PIECES,
    instead: "scope.length === 0\n        ? `'{}'`",
    plant: "scope.length >= 0\n        ? `'{}'`",
    caughtBy: contract("C9 has claimants of its own"),
  },
  {
    bug: "two spellings of a claimant are two",
    file: PIECES,
    instead: `(owner === null ? text : stableText(schema, owner, \`\${text}::\${owner.type}\`))`,
    plant: `(owner === null ? text : \`\${text}::text\`)`,
    caughtBy: at("claim-races", "in every spelling"),
  },
  {
    bug: "a redelivery of a completed claim runs its handler again",
    file: "src/claim/pool-claims.ts",
    instead: "ledger.claim({ pool, rerun, ttlMs, triedAsNew, requests })",
    plant: "ledger.claim({ pool, rerun: true, ttlMs, triedAsNew, requests })",
    caughtBy: { files: ["test/claim/outcomes.test.ts"], titles: "S2 replays" },
  },
  {
    bug: "a group commit answers its members in the wrong order",
    file: "src/ledger/group-commit.ts",
    instead: "const answer = answers[index];",
    plant: "const answer = answers[batch.length - 1 - index];",
    caughtBy: { files: ["test/ledger/group-commit.test.ts"] },
  },
  {
    bug: "a release gives away a completed row",
    file: "src/ledger/release-claims.ts",
    instead: "where newest and status in ('held', 'failed'))",
    plant: "where newest and status in ('held', 'failed', 'completed'))",
    caughtBy: contract("C6 is lost and changes nothing after"),
  },
  {
    bug: "a row that goes back is free before its token is remembered",
    file: "src/ledger/release-claims.ts",
    instead: "order by l.resource_id for update of t",
    plant: "order by l.resource_id",
    also: [{ instead: `\`(\${isFree} or `, plant: "`(false or " }],
    caughtBy: at("token-order", "S3 is not claimed before the release has committed"),
  },
];
