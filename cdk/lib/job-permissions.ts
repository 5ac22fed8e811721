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
  // The connector asks for the prefix without its slash, too: EMR 7.10 and newer read s3:// by S3A, which looks for an
  // object of a folder's name first (https://docs.aws.amazon.com/emr/latest/ReleaseGuide/emr-s3a-migrate.html).
  const objects = (...prefixes: string[]): string[] =>
    prefixes.flatMap((prefix) => [lake.arnForObjects(prefix.slice(0, -1)), lake.arnForObjects(`${prefix}*`)]);
  return [
    // Whole, without a condition on the prefix: of an object that is not there S3 says 404 to who may list, and 403 to
    // anybody else, and a HEAD names no prefix (https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html).
    allow("ListLake", ["s3:ListBucket"], [lake.bucketArn]),
    allow("ReadLake", ["s3:GetObject"], objects(events, rollups)),
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
