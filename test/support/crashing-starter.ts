import { startPrivateServer } from "./ladder.ts";
import { redis } from "./services/redis.ts";

/** A program that starts a server, says which, and ends without stopping it, by the signal it is told. */
const node = await startPrivateServer(redis);
process.stdout.write(`${node.pid}\n`, () => process.kill(process.pid, process.argv[2]));
