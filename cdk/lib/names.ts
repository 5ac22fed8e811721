/** Names that more than one stack, or somebody outside of them, has to know. */
import { Aws } from "aws-cdk-lib";

import type { Settings } from "./settings.ts";

/** The alias that the event source mappings invoke, so that a version can be taken back at once. */
export const LIVE = "live";

/** The topic of the alarms. */
export const topicName = ({ name }: Settings): string => `${name}-alarms`;

/** The state machine of the nightly run. */
export const nightlyName = ({ name }: Settings): string => `${name}-nightly`;

/** The role of the Spark jobs. Roles are one space for all regions of an account. */
export const jobRoleName = ({ name }: Settings): string => `${name}-job-${Aws.REGION}`;

/** Glue's database of Athena's tables. */
export const databaseName = ({ name }: Settings): string => name.replaceAll("-", "_");

/** Glue's database of the Iceberg table, whose name is emr/tributary_emr/catalog.py's. */
export const tableDatabaseName = (settings: Settings): string => `${databaseName(settings)}_history`;
export const TABLE = "events";

/** The tag of what the table holds (emr/tributary_emr/aws.py): what has it may expire. */
export const IN_TABLE = { tributary: "in-table" };

/** Athena's workgroup. */
export const workgroupName = ({ name }: Settings): string => name;

/** Prefixes of the lake (functions/pipeline/src/layout.rs). */
export const PREFIX = {
  events: "events/",
  rollups: "rollups/",
  quarantine: "quarantine/",
  table: "table/",
  reports: "reports/",
  /** Of the artifacts bucket. */
  submitted: "emr/",
};

/** The namespace of the metrics (functions/events/src/metrics.rs). */
export const METRIC_NAMESPACE = "Tributary";

/** The stream. Object keys begin with its name, so it never changes for a lake. */
export const streamName = ({ name }: Settings): string => `${name}-events`;

/** A function, by the name of its binary. */
export const functionName = ({ name }: Settings, binary: string): string => `${name}-${binary}`;

export type BucketSuffix = "lake" | "on-failure" | "artifacts" | "results";

/** A bucket: names are one space for the whole world, so account and region are in them. */
export const bucketName = ({ name }: Settings, suffix: BucketSuffix): string =>
  `${name}-${suffix}-${Aws.ACCOUNT_ID}-${Aws.REGION}`;
