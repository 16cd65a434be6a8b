import type { StandardSchemaV1 } from "@standard-schema/spec";
import { expectTypeOf, it } from "vitest";
import type { AmqpMessage } from "../../src/queue/amqplib-channel.ts";
import { payloadReader } from "../../src/queue/amqplib-payload.ts";
