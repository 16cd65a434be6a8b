import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { addClaimsList } from "./list.ts";
import { addClaimsRelease } from "./release.ts";
import { addClaimsShow } from "./show.ts";

export function addClaims(program: Command, cli: Cli): void {
  const claims = program.command("claims").description("who has which row: list, show and release claims").helpCommand(false);
  addClaimsList(claims, cli);
  addClaimsShow(claims, cli);
  addClaimsRelease(claims, cli);
}
