/**
 * Splits a batch that failed because of one of its members, so that only that member fails. A throw half-way is safe: the whole
 * batch is asked again, and what was done answers the same.
 */
export async function inHalves<Member, Answer>(
  members: readonly Member[],
  run: (half: readonly Member[]) => Promise<readonly Answer[]>,
): Promise<readonly Answer[]> {
  const middle = Math.ceil(members.length / 2);
  return [...(await run(members.slice(0, middle))), ...(await run(members.slice(middle)))];
}
