/** What holds data: the lake, the artifacts, the batches that were given up, the stream. */
import { CfnOutput, Duration, RemovalPolicy, Stack, type StackProps } from "aws-cdk-lib";
import { Stream, StreamEncryption, StreamMode } from "aws-cdk-lib/aws-kinesis";
import { Key, type IKey } from "aws-cdk-lib/aws-kms";
import { BlockPublicAccess, Bucket, BucketEncryption, ObjectOwnership, type LifecycleRule } from "aws-cdk-lib/aws-s3";
import type { Construct } from "constructs";

import { createOnly, noDeletes } from "./create-only.ts";
import { bucketName, type BucketSuffix, PREFIX, streamName } from "./names.ts";
import type { Settings } from "./settings.ts";

/** Stateful: it keeps its data when it goes, and it does not go by mistake. */
export class Storage extends Stack {
  readonly key: IKey | undefined;
  readonly lake: Bucket;
  /** Batches that were given up, whole, as Lambda writes them. */
  readonly onFailure: Bucket;
  /** What people submit to Spark by hand. */
  readonly artifacts: Bucket;
  /** What Athena answers. */
  readonly results: Bucket;
  readonly stream: Stream | undefined;
  private readonly settings: Settings;

  constructor(scope: Construct, id: string, settings: Settings, props: StackProps) {
    super(scope, id, { ...props, terminationProtection: settings.keepData });
    this.settings = settings;
    this.key = this.makeKey();
    this.lake = this.bucket("Lake", "lake", [
      { id: "quarantine-expires", prefix: PREFIX.quarantine, expiration: Duration.days(settings.quarantineDays) },
    ]);
    this.lake.addToResourcePolicy(createOnly(this.lake));
    this.lake.addToResourcePolicy(noDeletes(this.lake, settings.breakGlassRoleArn));
    // A bucket of its own: Lambda lists it, and the lake's ListBucket stays limited to its prefixes.
    this.onFailure = this.bucket("OnFailure", "on-failure", [
      { id: "given-up-expires", expiration: Duration.days(settings.onFailureDays) },
    ]);
    this.artifacts = this.bucket("Artifacts", "artifacts", []);
    this.results = this.bucket("Results", "results", [
      { id: "results-expire", expiration: Duration.days(settings.resultDays) },
    ]);
    this.stream = settings.stream ? this.makeStream() : undefined;
    new CfnOutput(this, "LakeName", { value: this.lake.bucketName });
    new CfnOutput(this, "OnFailureName", { value: this.onFailure.bucketName });
    new CfnOutput(this, "ArtifactsName", { value: this.artifacts.bucketName });
    if (this.stream) new CfnOutput(this, "StreamName", { value: this.stream.streamName });
  }

  /**
   * Kept, but for what a first deployment made before it failed: that holds nothing, and its name would block the second
   * (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-attribute-deletionpolicy.html, RetainExceptOnCreate).
   */
  private get removalPolicy(): RemovalPolicy {
    return this.settings.keepData ? RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE : RemovalPolicy.DESTROY;
  }

  private makeKey(): IKey | undefined {
    const { kmsKey, name } = this.settings;
    if (kmsKey === "none") return undefined;
    if (kmsKey !== "create") return Key.fromKeyArn(this, "Key", kmsKey);
    return new Key(this, "Key", {
      alias: `${name}-data`,
      description: "Tributary: buckets and stream",
      enableKeyRotation: true,
      removalPolicy: this.removalPolicy,
    });
  }

  /** Versioning stays off: every object of the lake is created once, so there are no versions to keep. */
  private bucket(id: string, suffix: BucketSuffix, lifecycleRules: LifecycleRule[]): Bucket {
    const encryption = this.key
      ? { encryption: BucketEncryption.KMS, encryptionKey: this.key, bucketKeyEnabled: true }
      : { encryption: BucketEncryption.S3_MANAGED };
    return new Bucket(this, id, {
      bucketName: bucketName(this.settings, suffix),
      ...encryption,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      blockPublicAccess: BlockPublicAccess.BLOCK_ALL,
      objectOwnership: ObjectOwnership.BUCKET_OWNER_ENFORCED,
      lifecycleRules: [
        ...lifecycleRules,
        { id: "unfinished-uploads", abortIncompleteMultipartUploadAfter: Duration.days(7) },
      ],
      removalPolicy: this.removalPolicy,
    });
  }

  private makeStream(): Stream {
    const { shards, retentionHours } = this.settings;
    const mode =
      shards === 0 ? { streamMode: StreamMode.ON_DEMAND } : { streamMode: StreamMode.PROVISIONED, shardCount: shards };
    const encryption = this.key
      ? { encryption: StreamEncryption.KMS, encryptionKey: this.key }
      : { encryption: StreamEncryption.MANAGED };
    return new Stream(this, "Stream", {
      streamName: streamName(this.settings),
      ...mode,
      ...encryption,
      retentionPeriod: Duration.hours(retentionHours),
      removalPolicy: this.removalPolicy,
    });
  }
}
