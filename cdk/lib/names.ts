/** Names that more than one stack, or somebody outside of them, has to know. */
import { Aws } from "aws-cdk-lib";

import type { Settings } from "./settings.ts";

/** The alias that the event source mappings invoke, so that a version can be taken back at once. */
export const LIVE = "live";

/** The topic of the alarms. */
export const topicName = ({ name }: Settings): string => `${name}-alarms`;

/** The state machine of the nightly run. */
export const nightlyName = ({ name }: Settings): string => `${name}-nightly`;

/** Athena's workgroup. */
export const workgroupName = ({ name }: Settings): string => name;

/** Prefixes of the lake (functions/pipeline/src/layout.rs). */
export const PREFIX = {
  events: "events/",
  rollups: "rollups/",
  quarantine: "quarantine/",
  reports: "reports/",
  /** Of the artifacts bucket. */
  submitted: "emr/",
};

/** What the function calls its metrics (functions/events/src/metrics.rs). */
export const METRIC_NAMESPACE = "Tributary";

/** The stream. Object keys begin with its name, so it never changes for a lake. */
export const streamName = ({ name }: Settings): string => `${name}-events`;

/** A function, by the name of its binary. */
export const functionName = ({ name }: Settings, binary: string): string => `${name}-${binary}`;

export type BucketSuffix = "lake" | "on-failure" | "artifacts" | "results";

/** A bucket: names are one space for the whole world, so account and region are in them. */
export const bucketName = ({ name }: Settings, suffix: BucketSuffix): string =>
  `${name}-${suffix}-${Aws.ACCOUNT_ID}-${Aws.REGION}`;
