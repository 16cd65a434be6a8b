import type { Clock } from "../clock.ts";
import type { RedisClient } from "./redis-client.ts";
import { type Purpose, within } from "./redis-limit.ts";
import type { Script } from "./redis-scripts.ts";

/** A script to run, and what it is given. */
export interface Question {
  readonly script: Script;
  readonly keys: readonly string[];
  readonly args: readonly string[];
}

/**
 * Runs a script within a time limit.
 * After: its answer. `onAnswer` is told once Redis has answered, however late, or that it never will: then undefined.
 * Throws LOCK_UNREACHABLE.
 */
export function ask(
  question: Question,
  client: RedisClient,
  purpose: Purpose,
  clock: Clock,
  onAnswer: (answer: unknown, isLate: boolean) => void = () => undefined,
): Promise<unknown> {
  let isLate = false;
  const answer = run(question, client, () => isLate);
  void answer.then(
    (value) => onAnswer(value, isLate),
    () => onAnswer(undefined, isLate),
  );
  return within(answer, client, purpose, clock, () => {
    isLate = true;
  });
}

/** Runs a script without waiting for its answer, and by its text, so that nothing that is sent later overtakes it. */
export function tell({ script, keys, args }: Question, client: RedisClient): void {
  const send = async () => client.eval(script.text, keys.length, ...keys, ...args);
  send().catch(() => undefined);
}

async function run({ script, keys, args }: Question, client: RedisClient, isLate: () => boolean): Promise<unknown> {
  try {
    return await client.evalsha(script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    // What is sent now comes after whatever was asked since the time was over.
    if (isLate() || !(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
    return client.eval(script.text, keys.length, ...keys, ...args);
  }
}
