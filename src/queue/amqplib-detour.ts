import type { AmqpHeaders, AmqpMessage, AmqpProperties, AmqpPublishOptions } from "./amqplib-channel.ts";

/**
 * A message that is put off takes a detour: a copy of it waits in a delay queue and comes back to the work queue. What the way through the
 * broker would change or misread travels in a header of ours and is put back when the copy is delivered, so that a handler sees the
 * message that was once published.
 */

/** The header, a table. Removed before the handler sees the message. */
export const DETOUR_HEADER = "x-exclaim";

/** What is counted along the way. */
export interface Counts {
  /** How often the message was put off without burning an attempt, and how often its process died. */
  readonly deferrals: number;
  /** Attempts that failed. */
  readonly attemptsMade: number;
}

/** Why a message was given up that could not be dead-lettered yet: it must not be served again. */
export interface GivenUp {
  readonly code: string;
  readonly reason: string;
  readonly claimant: string | undefined;
  readonly isDealtWith: boolean;
}

/** Where a message stands on its way. */
export interface Journey extends Counts {
  /** What is left of a delay that is longer than any one delay queue's, in ms. */
  readonly restMs: number;
  readonly givenUp: GivenUp | undefined;
  /** Whether it came back from a delay queue, so that its routing is not that of the delivery any more. */
  readonly isDetoured: boolean;
}

/** Counts beyond this are somebody's invention. */
const MAX_COUNT = 1_000_000_000;

/** What the broker writes into a message that died, or was handed out before. */
const BROKER_HEADERS = /^x-(death|(first|last)-death-(exchange|queue|reason))$/;
const DELIVERY_HEADERS = /^x-(delivery|acquired)-count$/;

/**
 * Properties that a copy must not have, since the broker acts on them:
 * - expiration would end the wait early, and the broker takes it off when it moves the copy
 * - userId must be that of whoever publishes, or the broker closes the channel
 */
const CARRIED_PROPERTIES = ["expiration", "userId"] as const;

/** The broker would send the copy to the queues that these name as well. */
const CARRIED_HEADERS = ["CC", "BCC"] as const;

interface Detour {
  readonly deferrals: number;
  readonly attempts: number;
  readonly restMs: number;
  readonly givenUp: GivenUp | undefined;
  readonly exchange: string;
  readonly routingKey: string;
  readonly persistent: boolean;
  readonly properties: Partial<Record<(typeof CARRIED_PROPERTIES)[number], string>>;
  readonly headers: AmqpHeaders;
}

/**
 * Undoes the detour: routing, properties and headers of the message are again those it was published with.
 * After: the counts, and 0 for a message that was never put off, or was dead-lettered since: whoever sends it again wants it tried anew.
 */
export function endDetour(message: AmqpMessage, isDelayQueue: (name: string) => boolean): Journey {
  const { fields, properties } = message;
  const headers = properties.headers ?? {};
  const handedOut = count(headers["x-delivery-count"]) ?? (fields.redelivered ? 1 : 0);
  const detour = detourOf(headers);
  const anew = { deferrals: handedOut, attemptsMade: 0, restMs: 0, givenUp: undefined };
  if (detour === undefined) return { ...anew, isDetoured: false };

  const diedSince = !onlyWaited(headers["x-death"], isDelayQueue);
  const kept = Object.entries(headers).filter(([name]) => name !== DETOUR_HEADER && !BROKER_HEADERS.test(name));
  properties.headers = { ...Object.fromEntries(kept), ...detour.headers };
  fields.exchange = detour.exchange;
  fields.routingKey = detour.routingKey;
  if (!detour.persistent) properties.deliveryMode = 1;
  for (const name of CARRIED_PROPERTIES) if (detour.properties[name] !== undefined) properties[name] = detour.properties[name];
  if (diedSince) return { ...anew, isDetoured: true };
  const { restMs, givenUp } = detour;
  return { deferrals: detour.deferrals + handedOut, attemptsMade: detour.attempts, restMs, givenUp, isDetoured: true };
}

/** What is published in place of a message whose detour, if it had one, was undone. `serial` tells one copy from another. */
export function detourCopy(
  { fields, properties }: AmqpMessage,
  journey: Omit<Journey, "isDetoured">,
  serial: number,
): AmqpPublishOptions {
  const headers = Object.entries(properties.headers ?? {}).filter(([name]) => !DELIVERY_HEADERS.test(name));
  const isCarried = ([name]: [string, unknown]): boolean =>
    BROKER_HEADERS.test(name) || (CARRIED_HEADERS as readonly string[]).includes(name);
  const { givenUp } = journey;
  const detour = {
    serial,
    deferrals: journey.deferrals,
    attempts: journey.attemptsMade,
    ...(journey.restMs === 0 ? {} : { restMs: Math.ceil(journey.restMs) }),
    ...(givenUp === undefined ? {} : { givenUp: { ...givenUp, claimant: givenUp.claimant ?? "" } }),
    exchange: fields.exchange,
    routingKey: fields.routingKey,
    persistent: properties.deliveryMode !== 1,
    properties: Object.fromEntries(
      CARRIED_PROPERTIES.map((name) => [name, properties[name]]).filter(([, value]) => value !== undefined),
    ),
    headers: Object.fromEntries(headers.filter(isCarried)),
  };
  return {
    ...keptProperties(properties),
    headers: { ...Object.fromEntries(headers.filter((header) => !isCarried(header))), [DETOUR_HEADER]: detour },
    persistent: true,
    mandatory: true,
  };
}

/** What is published of a message whose detour was undone, for somebody else than us. */
export function restoredCopy({ properties }: AmqpMessage): AmqpPublishOptions {
  const headers = Object.entries(properties.headers ?? {}).filter(([name]) => !DELIVERY_HEADERS.test(name));
  return {
    ...keptProperties(properties),
    headers: Object.fromEntries(headers),
    persistent: properties.deliveryMode !== 1,
  };
}

/** The serial of a copy that the broker gave back. */
export function serialOf(properties: AmqpProperties): number | undefined {
  const table = properties.headers?.[DETOUR_HEADER];
  return isTable(table) && typeof table.serial === "number" ? table.serial : undefined;
}

function keptProperties(properties: AmqpProperties): AmqpPublishOptions {
  const { contentType, contentEncoding, priority, correlationId, replyTo, messageId, timestamp, type, appId } = properties;
  const all = { contentType, contentEncoding, priority, correlationId, replyTo, messageId, timestamp, type, appId };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Anybody may publish to a queue, with any header: what is not as we write it is as if it were not there. */
function detourOf(headers: AmqpHeaders): Detour | undefined {
  const table = headers[DETOUR_HEADER];
  // Who comes from a delay queue has died there.
  if (!isTable(table) || !Array.isArray(headers["x-death"])) return undefined;
  const { exchange, routingKey } = table;
  const deferrals = count(table.deferrals);
  const attempts = count(table.attempts);
  if (deferrals === undefined || attempts === undefined) return undefined;
  if (typeof exchange !== "string" || typeof routingKey !== "string") return undefined;
  const properties = isTable(table.properties) ? table.properties : {};
  return {
    deferrals,
    attempts,
    restMs: count(table.restMs) ?? 0,
    givenUp: givenUpOf(table.givenUp),
    exchange,
    routingKey,
    persistent: table.persistent !== false,
    properties: Object.fromEntries(
      CARRIED_PROPERTIES.map((name) => [name, properties[name]]).filter(([, value]) => typeof value === "string"),
    ),
    headers: isTable(table.headers) ? table.headers : {},
  };
}

function givenUpOf(value: unknown): GivenUp | undefined {
  if (!isTable(value)) return undefined;
  const { code, reason, claimant, isDealtWith } = value;
  if (typeof code !== "string" || typeof reason !== "string") return undefined;
  const known = typeof claimant === "string" && claimant !== "" ? claimant : undefined;
  return { code, reason, claimant: known, isDealtWith: isDealtWith === true };
}

/** Whether every death since the copy was published is that of its wait. */
function onlyWaited(deaths: unknown, isDelayQueue: (name: string) => boolean): boolean {
  if (!Array.isArray(deaths)) return true;
  return deaths.every(
    (death) => isTable(death) && death.reason === "expired" && typeof death.queue === "string" && isDelayQueue(death.queue),
  );
}

function isTable(value: unknown): value is AmqpHeaders {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value);
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= MAX_COUNT ? value : undefined;
}
