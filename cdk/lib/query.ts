/** What reads the lake: the catalog and the daily report. Stateless. */
import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import type { Construct } from "constructs";

import { Catalog } from "./catalog.ts";
import { Report } from "./report.ts";
import type { Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";
import { stored } from "./stored.ts";

export class Query extends Stack {
  readonly report: Report;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, props: StackProps) {
    super(scope, id, props);
    const { lake, artifacts, key } = stored(this, settings, storage);
    new Catalog(this, "Catalog", settings, lake);
    this.report = new Report(this, "Report", { settings, lake, artifacts, key });
    new CfnOutput(this, "ApplicationId", { value: this.report.application.attrApplicationId });
    new CfnOutput(this, "JobRoleArn", { value: this.report.jobRole.roleArn });
  }
}
