/**
 * Ends this worker when vitest itself is gone, killed or interrupted. Otherwise a worker goes on until its test is
 * over, and keeps its servers. A signal, because vitest turns `process.exit` in a worker into an error.
 */
process.once("disconnect", () => process.kill(process.pid, "SIGKILL"));
