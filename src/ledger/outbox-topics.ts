declare const NO_TOPIC: unique symbol;

/**
 * The topics of the outbox and what their messages hold. None is declared at first, and then any topic takes any payload; a program that
 * knows its topics adds them:
 *
 *     declare module "exclaim" {
 *       interface OutboxTopics {
 *         "voucher.assigned": { userId: number };
 *       }
 *     }
 */
export interface OutboxTopics {
  readonly [NO_TOPIC]?: never;
}

type DeclaredTopic = Extract<keyof OutboxTopics, string>;

/** The topics that can be published: any text as long as none is declared. */
export type TopicName = [DeclaredTopic] extends [never] ? string : DeclaredTopic;

/** What a message of the topic holds: anything as long as no topic is declared. */
export type TopicPayload<T extends TopicName> = T extends DeclaredTopic ? OutboxTopics[T] : unknown;
