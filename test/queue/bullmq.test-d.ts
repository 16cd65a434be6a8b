import { createPostgresBackend, type Job, Worker, withBackend } from "bullmq";
import { type Job as Job5, Worker as Worker5 } from "bullmq-5";
import { expectTypeOf, it } from "vitest";
import type { Claim } from "../../src/claim/claim.ts";
import type { Pool } from "../../src/claim/pool.ts";
import type { Row } from "../../src/ledger/ledger.ts";
import { withClaim } from "../../src/queue/bullmq.ts";

interface SignUp {
  readonly user_id: number;
  readonly campaign_id: number;
}

interface Voucher {
  readonly id: number;
  readonly code: string;
}

declare const vouchers: Pool<Voucher>;
declare const anyRows: Pool;
declare const connection: { readonly host: string };

it("infers job, row and result in every callback from the handler's job and the pool", () => {
  const processor = withClaim(
    async (job: Job<SignUp>, claim) => {
      expectTypeOf(claim).toEqualTypeOf<Claim<Voucher>>();
      return { userId: job.data.user_id, code: claim.row.code };
    },
    {
      pool: vouchers,
      claimant: (job) => {
        expectTypeOf(job).toEqualTypeOf<Job<SignUp>>();
        return String(job.data.user_id);
      },
      scope: (job) => ({ campaign_id: job.data.campaign_id }),
      pick: (job) => String(job.data.campaign_id),
      onContended: ({ message, deferrals }) => {
        expectTypeOf(message).toEqualTypeOf<Job<SignUp>>();
        return deferrals < 10 ? { do: "retry", delayMs: 250 } : { do: "fail" };
      },
      onEmpty: ({ message }) => ({ do: "dead-letter", reason: `no vouchers left for ${message.data.user_id}` }),
      onTaken: { do: "complete", result: "taken" },
      onLost: { do: "retry" },
      onReplay: "return-result",
      onFailure: "keep",
      onGiveUp: "release",
      lockBy: "claimant",
      maxHoldMs: 600_000,
      maxDeferrals: 100,
    },
  );

  expectTypeOf(processor).parameters.toEqualTypeOf<[job: Job<SignUp>, token?: string, signal?: AbortSignal]>();
  expectTypeOf(processor).returns.toEqualTypeOf<Promise<{ userId: number; code: string }>>();
});

it("gives a row of unknown columns where the pool's are not declared", () => {
  withClaim(
    async (_job: Job<SignUp>, claim) => {
      expectTypeOf(claim.row).toEqualTypeOf<Row>();
    },
    { pool: anyRows, claimant: (job) => String(job.data.user_id) },
  );
});

it("fits the Worker of BullMQ 6, on Redis and on PostgreSQL, and of BullMQ 5, and watches them", () => {
  const claimant = (job: { readonly data: SignUp }) => String(job.data.user_id);
  const six = withClaim(async (_job: Job<SignUp, string>, claim) => claim.row.code, { pool: vouchers, claimant });
  const five = withClaim(async (_job: Job5<SignUp, string>, claim) => claim.row.code, { pool: vouchers, claimant });
  const Postgres = withBackend(createPostgresBackend);

  six.watch(new Worker("voucher", six, { connection }));
  six.watch(new Worker<SignUp, string>("voucher", six, { connection }));
  six.watch(new Postgres.Worker<SignUp, string>("voucher", six, { connection: "postgres://localhost/queues" }));
  five.watch(new Worker5("voucher", five, { connection }));
  five.watch(new Worker5<SignUp, string>("voucher", five, { connection }));
});

it("takes the job from the Worker's own type arguments, where the handler does not say", () => {
  const ofSix = { pool: vouchers, claimant: (job: Job<SignUp>) => String(job.data.user_id) };

  new Worker<SignUp, string>(
    "voucher",
    withClaim(async (job, claim) => `${job.data.user_id} ${claim.row.code}`, ofSix),
    { connection },
  );
  new Worker5<SignUp, string>(
    "voucher",
    withClaim(async (job, claim) => `${job.data.user_id} ${claim.row.code}`, {
      pool: vouchers,
      claimant: (job) => String(job.data.user_id),
    }),
    { connection },
  );
});

it("fits a Worker whose data is not declared", () => {
  const processor = withClaim(async (job: Job, claim) => `${job.id} ${claim.row.code}`, {
    pool: vouchers,
    claimant: () => "7",
  });

  new Worker("voucher", processor, { connection });
});

it("refuses what does not fit", () => {
  const handler = async (_job: Job<SignUp>) => "done";
  const claimant = (job: Job<SignUp>) => String(job.data.user_id);

  // @ts-expect-error the claimant is missing
  withClaim(handler, { pool: vouchers });
  // @ts-expect-error the pool is missing
  withClaim(handler, { claimant });
  // @ts-expect-error the claimant is a text
  withClaim(handler, { pool: vouchers, claimant: (job) => job.data.user_id });
  // @ts-expect-error the job has no such data
  withClaim(handler, { pool: vouchers, claimant: (job) => String(job.data.userId) });
  // @ts-expect-error there is no such rule
  withClaim(handler, { pool: vouchers, claimant, onEmpty: { do: "requeue" } });
  // @ts-expect-error the row has no such column
  withClaim(async (_job: Job<SignUp>, claim) => claim.row.secret, { pool: vouchers, claimant });
  // @ts-expect-error the worker's data is another
  new Worker<{ readonly order: string }, string>("voucher", withClaim(handler, { pool: vouchers, claimant }), { connection });
});
