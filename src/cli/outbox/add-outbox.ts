import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { addOutboxDispatch } from "./dispatch.ts";
import { addOutboxRetry } from "./retry.ts";
import { addOutboxStatus } from "./status.ts";

export function addOutbox(program: Command, cli: Cli): void {
  const outbox = program
    .command("outbox")
    .description("what claims published: look into it, retry what is parked, send it")
    .helpCommand(false);
  addOutboxStatus(outbox, cli);
  addOutboxRetry(outbox, cli);
  addOutboxDispatch(outbox, cli);
}
