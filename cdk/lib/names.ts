/** Names that more than one stack, or somebody outside of them, has to know. */
import { Aws } from "aws-cdk-lib";

import type { Settings } from "./settings.ts";

/** The alias that the event source mappings invoke, so that a version can be taken back at once. */
export const LIVE = "live";

/** Prefixes of the lake (functions/pipeline/src/layout.rs) and of the artifacts. */
export const PREFIX = {
  events: "events/",
  rollups: "rollups/",
  quarantine: "quarantine/",
  reports: "reports/",
  jobs: "jobs/",
};

/** What the function calls its metrics (functions/pipeline/src/metrics.rs). */
export const METRIC_NAMESPACE = "Tributary";

/** The stream. Object keys begin with its name, so it never changes for a lake. */
export const streamName = ({ name }: Settings): string => `${name}-events`;

/** A function, by the name of its binary. */
export const functionName = ({ name }: Settings, binary: string): string => `${name}-${binary}`;

/** A bucket: names are one space for the whole world, so account and region are in them. */
export const bucketName = ({ name }: Settings, suffix: "lake" | "on-failure" | "artifacts"): string =>
  `${name}-${suffix}-${Aws.ACCOUNT_ID}-${Aws.REGION}`;
