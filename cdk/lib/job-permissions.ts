/** What a Spark job may do: read the lake, load and keep the table, write reports, and find its own code. */
import { Stack } from "aws-cdk-lib";
import type { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import type { ILogGroup } from "aws-cdk-lib/aws-logs";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import type { Asset } from "aws-cdk-lib/aws-s3-assets";

import { METRIC_NAMESPACE, PREFIX, TABLE, tableDatabaseName } from "./names.ts";
import { allow, NO_RESOURCE_LEVEL } from "./policy.ts";
import type { Settings } from "./settings.ts";

export interface JobResources {
  readonly settings: Settings;
  readonly lake: IBucket;
  readonly artifacts: IBucket;
  readonly key: IKey | undefined;
}

export function jobPermissions(
  { settings, lake, artifacts, key }: JobResources,
  logGroup: ILogGroup,
  code: readonly Asset[],
): PolicyStatement[] {
  const { events, rollups, reports, table } = PREFIX;
  const glue = (resource: string, resourceName?: string): string =>
    Stack.of(logGroup).formatArn({ service: "glue", resource, ...(resourceName ? { resourceName } : {}) });
  const database = tableDatabaseName(settings);
  // The connector asks for the prefix without its slash, too: EMR 7.10 and newer read s3:// by S3A, which looks for an
  // object of a folder's name first (https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-s3a-migrate.html).
  const objects = (...prefixes: string[]): string[] =>
    prefixes.flatMap((prefix) => [lake.arnForObjects(prefix.slice(0, -1)), lake.arnForObjects(`${prefix}*`)]);
  return [
    // Whole, without a condition on the prefix: of an object that is not there S3 says 404 to who may list, and 403 to
    // anybody else, and a HEAD names no prefix (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html).
    allow("ListLake", ["s3:ListBucket"], [lake.bucketArn]),
    allow("ReadLake", ["s3:GetObject"], objects(events, rollups)),
    // Iceberg's files, by Iceberg's own client, which asks for nothing but the file. Delete: the upkeep's snapshots and
    // orphans.
    allow(
      "KeepTable",
      ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
      [lake.arnForObjects(`${table}*`)],
    ),
    // What the table holds, so that it may expire. Reading back a tag is nobody's need.
    allow(
      "TagLoaded",
      ["s3:PutObjectTagging"],
      [events, rollups].map((prefix) => lake.arnForObjects(`${prefix}*`)),
    ),
    // Glue asks for the catalog and the database above a table as well:
    // https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html
    allow(
      "UseCatalog",
      ["glue:GetDatabase", "glue:GetTable", "glue:CreateTable", "glue:UpdateTable"],
      [glue("catalog"), glue("database", database), glue("table", `${database}/${TABLE}`)],
    ),
    allow("PublishMetrics", ["cloudwatch:PutMetricData"], NO_RESOURCE_LEVEL, {
      StringEquals: { "cloudwatch:namespace": METRIC_NAMESPACE },
    }),
    // Delete: the connector tidies away what stands for a folder.
    allow(
      "WriteReports",
      ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
      objects(reports),
    ),
    allow(
      "ReadJobs",
      ["s3:GetObject"],
      code.map((asset) => asset.bucket.arnForObjects(asset.s3ObjectKey)),
    ),
    // Where emr/submit puts what it submits.
    allow("ReadSubmitted", ["s3:GetObject"], [artifacts.arnForObjects(`${PREFIX.submitted}*`)]),
    allow("WriteLog", ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"], [logGroup.logGroupArn]),
    // Describing needs every group of the region; it tells names, and no content.
    allow(
      "FindLog",
      ["logs:DescribeLogGroups"],
      [Stack.of(logGroup).formatArn({ service: "logs", resource: "log-group:*" })],
    ),
    ...(key ? [allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [key.keyArn])] : []),
  ];
}
