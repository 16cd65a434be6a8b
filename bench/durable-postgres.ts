import type { Service } from "../test/support/service.ts";
import { postgres } from "../test/support/services/postgres.ts";

/** PostgreSQL with the durability it comes with: a commit that was acknowledged is on the disk. The tests' own gives that up. */
export const durablePostgres: Service = {
  ...postgres,
  start(place, port) {
    const { args, ...command } = postgres.start(place, port);
    return { ...command, args: args.map((argument) => (argument === "fsync=off" ? "fsync=on" : argument)) };
  },
};
