/** What the bucket itself holds everybody to: nothing under events/ and rollups/ is overwritten, nothing is deleted. */
import { AnyPrincipal, Effect, PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IBucket } from "aws-cdk-lib/aws-s3";

import { PREFIX } from "./names.ts";

const committed = (bucket: IBucket): string[] =>
  [PREFIX.events, PREFIX.rollups].map((prefix) => bucket.arnForObjects(`${prefix}*`));

/**
 * Refuses every write without `If-None-Match`, the header that the commit protocol rests on.
 *
 * The form is the S3 User Guide's ("Enforce conditional writes on Amazon S3 buckets"): only requests that create an
 * object are meant, because the first steps of a multipart upload cannot carry the header; its last one must. CopyObject
 * into these prefixes is refused by S3 with and without the header.
 */
export function createOnly(bucket: IBucket): PolicyStatement {
  return new PolicyStatement({
    sid: "CreateOnly",
    effect: Effect.DENY,
    principals: [new AnyPrincipal()],
    actions: ["s3:PutObject"],
    resources: committed(bucket),
    conditions: {
      Null: { "s3:if-none-match": "true" },
      Bool: { "s3:ObjectCreationOperation": "true" },
    },
  });
}

/**
 * Refuses deletion, to administrators too: a log with a hole forgets ids, and rows could land twice.
 *
 * `breakGlassRoleArn` is let through. Without one, whoever may write bucket policies has to change this one first, which
 * is a deliberate act and leaves a trace. Lifecycle rules are S3's own and are not asked.
 */
export function noDeletes(bucket: IBucket, breakGlassRoleArn: string): PolicyStatement {
  return new PolicyStatement({
    sid: "NoDeletes",
    effect: Effect.DENY,
    principals: [new AnyPrincipal()],
    actions: ["s3:DeleteObject", "s3:DeleteObjectVersion"],
    resources: committed(bucket),
    ...(breakGlassRoleArn ? { conditions: { ArnNotEquals: { "aws:PrincipalArn": breakGlassRoleArn } } } : {}),
  });
}
