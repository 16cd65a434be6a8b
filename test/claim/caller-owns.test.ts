import { EventEmitter } from "node:events";
import { expect, it } from "vitest";
import { createExclaim } from "../../src/claim/create-exclaim.ts";

// A pool tells of idle connections that broke by an `error` event, which ends the process when nobody listens.
it("listens to its pool's broken idle connections while it is open, and leaves no listener behind", async () => {
  const database = Object.assign(new EventEmitter(), { connect: () => expect.unreachable("no connection is asked for") });
  const exclaim = createExclaim({ database });
  const told: unknown[] = [];
  exclaim.on("background:failed", (event) => told.push(event));
  const error = new Error("terminating connection due to administrator command");

  database.emit("error", error);
  await exclaim.close();

  expect(told).toEqual([{ what: "an idle database connection", error }]);
  expect(database.listenerCount("error")).toBe(0);
});
