import { ExclaimError } from "../errors.ts";
import type { OutboxOptions } from "./outbox-options.ts";
import type { MessageTarget } from "./target.ts";
import { type TargetOptions, type TargetSource, targetOf } from "./target-of.ts";

/** One destination, and the topics whose messages go there: among them the messages of one claimant keep their order. */
export interface OutboxRoute {
  /** For people. */
  readonly name: string;
  /** Whether it serves every topic but those in `topics`, or those alone. */
  readonly servesOthers: boolean;
  readonly topics: readonly string[];
  targetOf(topic: string): MessageTarget;
}

interface Place {
  readonly source: TargetSource;
  readonly targets: Map<string, MessageTarget>;
  others?: MessageTarget;
}

/**
 * The destinations of a dispatcher. Topics that name the same queue of the same client share one.
 * Throws CONFIG_INVALID: there is none, or one of them is no target.
 */
export function outboxRoutes(options: Pick<OutboxOptions, "to" | "topics"> & TargetOptions): readonly OutboxRoute[] {
  const places: Place[] = [];
  for (const [topic, { to, ...rest }] of Object.entries(options.topics ?? {})) {
    const target = targetOf(to, rest);
    placeOf(places, to, target).targets.set(topic, target);
  }
  if (options.to !== undefined) {
    const target = targetOf(options.to, targetOptions(options));
    placeOf(places, options.to, target).others = target;
  }
  if (places.length === 0) {
    throw new ExclaimError("CONFIG_INVALID", "the outbox has nowhere to go: give `to`, or `topics` with a `to` for each topic");
  }
  return places.map((place) => route(place, places));
}

function placeOf(places: Place[], source: TargetSource, { name }: MessageTarget): Place {
  const isSame = (place: Place) =>
    place.source === source && [place.others, ...place.targets.values()].some((target) => target?.name === name);
  const known = places.find(isSame);
  if (known !== undefined) return known;
  const place: Place = { source, targets: new Map() };
  places.push(place);
  return place;
}

function route(place: Place, places: readonly Place[]): OutboxRoute {
  const { others, targets } = place;
  const elsewhere = places.filter((other) => other !== place).flatMap((other) => [...other.targets.keys()]);
  const [first = others] = targets.values();
  return {
    name: first?.name ?? "",
    servesOthers: others !== undefined,
    topics: others === undefined ? [...targets.keys()] : elsewhere,
    targetOf(topic) {
      const target = targets.get(topic) ?? others;
      if (target === undefined) throw new ExclaimError("CONFIG_INVALID", `topic ${JSON.stringify(topic)} does not go there`);
      return target;
    },
  };
}

function targetOptions({ queue, exchange, routingKey, jobOptions }: TargetOptions): TargetOptions {
  return {
    ...(queue === undefined ? {} : { queue }),
    ...(exchange === undefined ? {} : { exchange }),
    ...(routingKey === undefined ? {} : { routingKey }),
    ...(jobOptions === undefined ? {} : { jobOptions }),
  };
}
