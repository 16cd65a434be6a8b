/** How the queues of RabbitMQ are declared, by whoever comes first: the nemesis or a pod. */
export const RABBITMQ_TOPOLOGY = { delaysMs: [50, 200, 1_000, 5_000], deliveryLimit: 100_000 } as const;
