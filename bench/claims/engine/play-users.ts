import type { Round } from "../bench-case.ts";

/** Serves users from `firstUser` on, so many at a time: each claimant's place is taken by the next as soon as it is served. */
export async function playUsers(
  serve: (user: number) => Promise<void>,
  { firstUser, users, concurrency }: { readonly firstUser: number; readonly users: number; readonly concurrency: number },
): Promise<Round> {
  let next = firstUser;
  const end = firstUser + users;
  const lane = async (): Promise<void> => {
    while (next < end) {
      next += 1;
      await serve(next - 1);
    }
  };
  const startMs = performance.now();
  await Promise.all(Array.from({ length: Math.min(concurrency, users) }, lane));
  return { done: users, ms: performance.now() - startMs };
}
