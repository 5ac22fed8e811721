/** What reads the lake: the catalog, Athena's workgroup, and the nightly run. Stateless. */
import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import { CfnWorkGroup } from "aws-cdk-lib/aws-athena";
import type { Construct } from "constructs";

import { makeAlarms } from "./alarms.ts";
import { Catalog } from "./catalog.ts";
import { workgroupName } from "./names.ts";
import { Nightly } from "./nightly.ts";
import type { Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";
import { stored } from "./stored.ts";

/** Athena stops a query that would read more: about five cents at list price. */
const MOST_BYTES_A_QUERY = 10 * 2 ** 30;

export class Query extends Stack {
  readonly nightly: Nightly;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, props: StackProps) {
    super(scope, id, props);
    const { lake, artifacts, results, key } = stored(this, settings, storage);
    new Catalog(this, "Catalog", settings, lake);
    new CfnWorkGroup(this, "Workgroup", {
      name: workgroupName(settings),
      description: "The lake of Tributary",
      // What was asked goes with the stack; the results stay in their bucket until they expire.
      recursiveDeleteOption: true,
      workGroupConfiguration: {
        enforceWorkGroupConfiguration: true,
        publishCloudWatchMetricsEnabled: true,
        bytesScannedCutoffPerQuery: MOST_BYTES_A_QUERY,
        resultConfiguration: {
          outputLocation: `s3://${results.bucketName}/`,
          encryptionConfiguration: key
            ? { encryptionOption: "SSE_KMS", kmsKey: key.keyArn }
            : { encryptionOption: "SSE_S3" },
        },
      },
    });
    this.nightly = new Nightly(this, "Nightly", { settings, lake, artifacts, key });
    makeAlarms(this.nightly, settings, "nightly", { $machine: this.nightly.machine.ref });
    new CfnOutput(this, "ApplicationId", { value: this.nightly.application.attrApplicationId });
    new CfnOutput(this, "JobRoleArn", { value: this.nightly.jobRole.roleArn });
    new CfnOutput(this, "MachineArn", { value: this.nightly.machine.ref });
  }
}
