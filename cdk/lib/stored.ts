/** Buckets and stream as other stacks refer to them: by name, so that no stack's exports tie it to another's. */
import { Stack } from "aws-cdk-lib";
import { Stream, type IStream } from "aws-cdk-lib/aws-kinesis";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { Bucket, type IBucket } from "aws-cdk-lib/aws-s3";

import { bucketName, streamName, type BucketSuffix } from "./names.ts";
import type { Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";

export interface Stored {
  readonly lake: IBucket;
  readonly onFailure: IBucket;
  readonly artifacts: IBucket;
  readonly results: IBucket;
  /** Undefined where the stream is left out. */
  readonly stream: IStream | undefined;
  readonly key: IKey | undefined;
}

/** What `storage` holds, for `stack`, which is deployed after it. */
export function stored(stack: Stack, settings: Settings, storage: Storage): Stored {
  stack.addStackDependency(storage);
  const bucket = (id: string, suffix: BucketSuffix): IBucket =>
    Bucket.fromBucketName(stack, id, bucketName(settings, suffix));
  const streamArn = stack.formatArn({ service: "kinesis", resource: "stream", resourceName: streamName(settings) });
  return {
    lake: bucket("Lake", "lake"),
    onFailure: bucket("OnFailure", "on-failure"),
    artifacts: bucket("Artifacts", "artifacts"),
    results: bucket("Results", "results"),
    stream: settings.stream ? Stream.fromStreamArn(stack, "Stream", streamArn) : undefined,
    key: storage.key,
  };
}
