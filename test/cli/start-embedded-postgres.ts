import { startEmbeddedPostgres } from "../../src/cli/demo/embedded-postgres.ts";

// A program of its own that starts a server, tells its parent, and never stops it.
const { pid, directory } = await startEmbeddedPostgres();
process.send?.({ pid, directory });
