/** What a Spark job may do: read the lake, write reports, and find its own code. */
import { Stack } from "aws-cdk-lib";
import type { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import type { ILogGroup } from "aws-cdk-lib/aws-logs";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import type { Asset } from "aws-cdk-lib/aws-s3-assets";

import { PREFIX } from "./names.ts";
import { allow } from "./policy.ts";

export interface JobResources {
  readonly lake: IBucket;
  readonly artifacts: IBucket;
  readonly key: IKey | undefined;
}

export function jobPermissions(
  { lake, artifacts, key }: JobResources,
  logGroup: ILogGroup,
  code: readonly Asset[],
): PolicyStatement[] {
  const { events, rollups, reports } = PREFIX;
  // The S3 connector also asks for the prefix without its slash, to tell a folder from an object.
  const listed = {
    StringLike: {
      "s3:prefix": [events, rollups, reports].flatMap((prefix) => [prefix.slice(0, -1), `${prefix}*`]),
    },
  };
  return [
    allow("ListLake", ["s3:ListBucket"], [lake.bucketArn], listed),
    allow(
      "ReadLake",
      ["s3:GetObject"],
      [events, rollups].map((prefix) => lake.arnForObjects(`${prefix}*`)),
    ),
    // Delete: the connector tidies away what stands for a folder.
    allow(
      "WriteReports",
      ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
      [lake.arnForObjects(`${reports}*`)],
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
