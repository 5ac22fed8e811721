/**
 * What the bucket itself holds everybody to: nothing under events/, rollups/ and quarantine/ is overwritten or deleted, and
 * the table is the job's alone.
 *
 * The statements are those of lake-bucket/policy.json, which local-stack/provision.sh gives a bucket as well.
 */
import { readFileSync } from "node:fs";

import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IBucket } from "aws-cdk-lib/aws-s3";

interface Policy {
  readonly Statement: readonly { readonly Sid: string }[];
}

/** A statement of the file about `bucket`. */
function statement(bucket: IBucket, sid: string, jobRoleArn = ""): PolicyStatement {
  const text = readFileSync(new URL("lake-bucket/policy.json", import.meta.url), "utf8");
  const about = text
    .replaceAll("arn:${partition}:s3:::${bucket}", () => bucket.bucketArn)
    .replaceAll("${jobRole}", () => jobRoleArn);
  return PolicyStatement.fromJson((JSON.parse(about) as Policy).Statement.find(({ Sid }) => Sid === sid));
}

/**
 * Refuses every write without `If-None-Match`, the header that the commit protocol rests on.
 *
 * The form is the S3 User Guide's ("Enforce conditional writes on Amazon S3 buckets"): only requests that create an
 * object are meant, because the first steps of a multipart upload cannot carry the header; its last one must. CopyObject
 * into these prefixes is refused by S3 with and without the header.
 */
export const createOnly = (bucket: IBucket): PolicyStatement => statement(bucket, "CreateOnly");

/**
 * Refuses deletion, to administrators too: a log with a hole forgets ids, and rows could land twice.
 *
 * `breakGlassRoleArn` is let through. Without one, whoever may write bucket policies has to change this one first, which
 * is a deliberate act and leaves a trace. Lifecycle rules are S3's own and are not asked.
 */
export function noDeletes(bucket: IBucket, breakGlassRoleArn: string): PolicyStatement {
  const denied = statement(bucket, "NoDeletes");
  if (breakGlassRoleArn) denied.addCondition("ArnNotEquals", { "aws:PrincipalArn": breakGlassRoleArn });
  return denied;
}

/**
 * Lets the jobs' role alone tag what may expire, and write and delete under table/; `breakGlassRoleArn` is let through as well.
 *
 * A tag is a delete that waits: the bucket's lifecycle expires what carries it. The role is known by its name, because it
 * stands in another stack; S3 does not ask whether it is there.
 */
export function byTheJob(bucket: IBucket, jobRoleArn: string, breakGlassRoleArn: string): PolicyStatement[] {
  return ["TagsByTheJob", "TableByTheJob"].map((sid) => {
    const denied = statement(bucket, sid, jobRoleArn);
    if (breakGlassRoleArn) denied.addCondition("ArnNotEquals", { "aws:PrincipalArn": [jobRoleArn, breakGlassRoleArn] });
    return denied;
  });
}
