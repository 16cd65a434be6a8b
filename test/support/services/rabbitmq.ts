import { RABBITMQ_ERLANG_ARGUMENTS, rabbitmqNodeService, rabbitmqNodes } from "../rabbitmq-server.ts";
import type { Service } from "../service.ts";

/** The node of the server that the tests of a run share. One process starts it once. */
const [shared] = await rabbitmqNodes(1);

/** RabbitMQ 3.10 or later, at AMQP_URL or started. The account at the URL must be allowed to declare queues and exchanges. */
export const rabbitmq: Service = {
  name: "rabbitmq",
  title: "RabbitMQ",
  variable: "AMQP_URL",
  count: 1,
  container: {
    image: "rabbitmq:4.2-alpine",
    port: 5672,
    env: { RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: RABBITMQ_ERLANG_ARGUMENTS },
    tmpfs: ["/var/lib/rabbitmq"],
  },
  // Of the programs' own folder only: Debian's in PATH change to an account of their own first, and come without rabbitmq-env.
  binaries: ["rabbitmq-server", "rabbitmqctl", "rabbitmq-env"],
  folders: [
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/*/sbin",
    "/opt/rabbitmq*/sbin",
    "/opt/homebrew/opt/rabbitmq/sbin",
    "/usr/local/opt/rabbitmq/sbin",
  ],
  debianPackage: "rabbitmq-server",
  refusesRoot: false,
  endSignal: "SIGKILL",
  url: (host, port) => `amqp://${host}:${port}`,
  ...rabbitmqNodeService(shared),
};
