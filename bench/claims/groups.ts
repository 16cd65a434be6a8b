import type { BenchGroup } from "./bench-case.ts";
import { brokerGroups } from "./brokers/group.ts";
import { enduranceGroup } from "./endurance/group.ts";
import { engineGroup } from "./engine/group.ts";
import { growthGroup } from "./growth/group.ts";
import { othersGroup } from "./others/group.ts";
import { queueGroup } from "./queue/group.ts";

/** In the order in which they are measured and printed. */
export const GROUPS: readonly BenchGroup[] = [
  queueGroup,
  ...brokerGroups,
  engineGroup,
  othersGroup,
  growthGroup,
  enduranceGroup,
];
