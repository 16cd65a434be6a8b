import type { AmqpQueueOptions } from "./amqplib-channel.ts";
import { type OwnChannel, refusalCodeOf, refusalTextOf } from "./amqplib-own-channel.ts";
import { type CurrentArgument, type Inequivalence, noneOf, readInequivalence } from "./amqplib-queue-arguments.ts";

/** Where questions are asked that the broker may refuse. */
type Asking = Pick<OwnChannel, "ask">;

/** One argument in which an existing queue is otherwise than asked for. */
export interface Difference {
  /** As in `arguments`, or `durable`, `auto_delete`, `exclusive`. */
  readonly argument: string;
  /** Undefined: the broker does not tell. */
  readonly have: CurrentArgument | undefined;
}

/**
 * - same: the queue exists as asked for, perhaps since just now
 * - missing: it does not exist, and was not to be created
 * - different: it exists otherwise; there may be more differences unless they are complete
 * - refused: the broker says no for another reason
 */
export type Comparison =
  | { readonly is: "same" | "missing" }
  | { readonly is: "different"; readonly differences: readonly Difference[]; readonly isComplete: boolean }
  | { readonly is: "refused"; readonly text: string };

/** access-refused, resource-locked, precondition-failed. Source: AMQP 0-9-1 reference, constants. */
const [REFUSED, LOCKED, OTHERWISE] = [403, 405, 406];
/** More than a queue has arguments; each takes two questions at most. */
const MAX_QUESTIONS = 64;
/** The same argument again, after what the queue has of it was sent: nothing is learned any more. */
const MAX_ANSWERS = 3;

/**
 * An argument that no new queue may have, whatever its type: one of streams, with a value of the wrong type. Where the queue exists it
 * is not looked at, unless that is a stream. So a question with it never creates a queue, not even one deleted a moment ago.
 */
const NEVER_NEW = "x-max-age";
const NEVER_NEW_VALUE = 0;
const NEVER_NEW_REFUSED = `PRECONDITION_FAILED - invalid arg '${NEVER_NEW}'`;

/**
 * Compares a queue with how it is asked for, and finds every difference.
 *
 * The broker tells one difference at a time, so we take over what the queue has and ask again, until it agrees.
 * After: the queue was created if it was missing and `mayCreate`, else nothing has changed.
 * Throws what amqplib throws when nobody knows, as when the connection is gone.
 */
export async function compareQueue(
  own: Asking,
  queue: string,
  options: AmqpQueueOptions,
  { mayCreate }: { readonly mayCreate: boolean },
): Promise<Comparison> {
  const asked = new Question(queue, options);
  const first = await asked.ask(own, mayCreate);
  if (first.is !== "otherwise") return first.is === "unclear" ? { is: "refused", text: first.text } : first;
  let answer: Answer = first;
  for (let questions = 1; questions < MAX_QUESTIONS && answer.is === "otherwise"; questions += 1) {
    if (!asked.takeOver(answer.inequivalence)) break;
    answer = await asked.ask(own, false);
  }
  return { is: "different", differences: asked.differences(), isComplete: answer.is === "same" };
}

type Answer =
  | { readonly is: "same" | "missing" }
  | { readonly is: "otherwise"; readonly inequivalence: Inequivalence }
  | { readonly is: "unclear"; readonly text: string };

/** What is asked for, as it changes from one question to the next. */
class Question {
  readonly #queue: string;
  #durable: boolean;
  #autoDelete = false;
  #exclusive = false;
  readonly #arguments: Map<string, unknown>;
  readonly #found = new Map<string, { have: CurrentArgument | undefined; answers: number }>();

  constructor(queue: string, options: AmqpQueueOptions) {
    this.#queue = queue;
    this.#durable = options.durable ?? true;
    this.#arguments = new Map(Object.entries(options.arguments ?? {}).filter(([, value]) => value !== undefined));
  }

  async ask(own: Asking, mayCreate: boolean): Promise<Answer> {
    const options = {
      durable: this.#durable,
      autoDelete: this.#autoDelete,
      exclusive: this.#exclusive,
      arguments: { ...(mayCreate ? {} : { [NEVER_NEW]: NEVER_NEW_VALUE }), ...Object.fromEntries(this.#arguments) },
    };
    try {
      await own.ask((channel) => channel.assertQueue(this.#queue, options));
    } catch (error) {
      return this.#answerOf(error);
    }
    this.#settle(undefined);
    return { is: "same" };
  }

  /** Makes the next question agree with what was told. Returns false when there is nothing more to learn. */
  takeOver({ argument, current }: Inequivalence): boolean {
    if (argument === NEVER_NEW && !this.#arguments.has(NEVER_NEW)) return false;
    this.#settle(argument);
    const found = this.#found.get(argument) ?? { have: undefined, answers: 0 };
    found.answers += 1;
    found.have = current ?? found.have;
    this.#found.set(argument, found);
    if (found.answers >= MAX_ANSWERS) return false;
    if (current === undefined) {
      // Asked for without it, the broker tells what the queue has, and says nothing if it has none.
      return this.#arguments.delete(argument);
    }
    return current.isKnown && this.#send(argument, current.value);
  }

  differences(): readonly Difference[] {
    const found = [...this.#found].sort(([a], [b]) => (a < b ? -1 : 1));
    return found.map(([argument, { have }]) => ({ argument, have }));
  }

  #send(argument: string, value: unknown): boolean {
    if (argument === "durable") this.#durable = value === true;
    else if (argument === "auto_delete") this.#autoDelete = value === true;
    else if (argument === "exclusive") this.#exclusive = true;
    else if (value === undefined) this.#arguments.delete(argument);
    else this.#arguments.set(argument, value);
    return true;
  }

  /** The broker has gone on to another argument: of one that was left out to be told, the queue has none. */
  #settle(argument: string | undefined): void {
    for (const [name, found] of this.#found) if (name !== argument) found.have ??= noneOf(name);
  }

  async #answerOf(error: unknown): Promise<Answer> {
    const text = refusalTextOf(error);
    const code = refusalCodeOf(error);
    if (code === LOCKED && !this.#exclusive) {
      const current = { text: "true", value: true, isKnown: true };
      return { is: "otherwise", inequivalence: { argument: "exclusive", current } };
    }
    if (code === OTHERWISE && text.startsWith(NEVER_NEW_REFUSED) && !this.#arguments.has(NEVER_NEW)) return { is: "missing" };
    if (code !== OTHERWISE && code !== LOCKED && code !== REFUSED) throw error;
    const inequivalence = readInequivalence(text, this.#queue, (argument) => this.#arguments.has(argument));
    return inequivalence === undefined ? { is: "unclear", text } : { is: "otherwise", inequivalence };
  }
}
