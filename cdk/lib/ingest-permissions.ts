/** What the functions may do, and nothing else. */
import { Stack } from "aws-cdk-lib";
import type { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IStream } from "aws-cdk-lib/aws-kinesis";
import type { IKey } from "aws-cdk-lib/aws-kms";
import type { ILogGroup } from "aws-cdk-lib/aws-logs";
import type { IBucket } from "aws-cdk-lib/aws-s3";

import type { KafkaSettings } from "./kafka-settings.ts";
import { METRIC_NAMESPACE, PREFIX } from "./names.ts";
import { allow, NO_RESOURCE_LEVEL } from "./policy.ts";

/** Where every function writes. */
export interface Sinks {
  readonly lake: IBucket;
  readonly onFailure: IBucket;
  readonly key: IKey | undefined;
}

/** What every function needs, whatever it reads. */
export function commonPermissions(
  { lake, onFailure, key }: Sinks,
  logGroup: ILogGroup,
  tracing: boolean,
): PolicyStatement[] {
  const { events, rollups, quarantine } = PREFIX;
  const objects = (...prefixes: string[]): string[] => prefixes.map((prefix) => lake.arnForObjects(`${prefix}*`));
  return [
    // The window: which objects there are.
    allow("ListCommitted", ["s3:ListBucket"], [lake.bucketArn], {
      StringLike: { "s3:prefix": [`${events}*`, `${rollups}*`] },
    }),
    allow("ReadCommitted", ["s3:GetObject"], objects(events, rollups)),
    allow("Commit", ["s3:PutObject"], objects(events, rollups, quarantine)),
    // Lambda itself writes what is given up, with this role; the guide asks for both actions.
    allow("GiveUpList", ["s3:ListBucket"], [onFailure.bucketArn]),
    allow("GiveUpPut", ["s3:PutObject"], [onFailure.arnForObjects("aws/lambda/*")]),
    ...(key ? [allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [key.keyArn])] : []),
    allow("PublishMetrics", ["cloudwatch:PutMetricData"], NO_RESOURCE_LEVEL, {
      StringEquals: { "cloudwatch:namespace": METRIC_NAMESPACE },
    }),
    allow("WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [logGroup.logGroupArn]),
    ...(tracing ? [allow("Trace", ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], NO_RESOURCE_LEVEL)] : []),
  ];
}

/** Reading one stream: Lambda's pollers, and the function's look at the parents of a shard (ListShards). */
export function kinesisPermissions(stream: IStream): PolicyStatement[] {
  const actions = ["DescribeStream", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards"];
  return [
    allow(
      "ReadStream",
      actions.map((action) => `kinesis:${action}`),
      [stream.streamArn],
    ),
  ];
}

/** Reading one topic: Lambda's pollers connect, through network interfaces if the cluster is in a VPC. */
export function kafkaPermissions(stack: Stack, kafka: KafkaSettings): PolicyStatement[] {
  const { clusterArn, secretArn, secretKeyArn, authentication } = kafka;
  const interfaces = ["network-interface", "subnet", "security-group"].map((resource) =>
    stack.formatArn({ service: "ec2", resource, resourceName: "*" }),
  );
  const describe = ["NetworkInterfaces", "Vpcs", "Subnets", "SecurityGroups"].map((what) => `ec2:Describe${what}`);
  const cluster = ["kafka:DescribeClusterV2", "kafka:GetBootstrapBrokers"];
  return [
    ...(secretArn ? [allow("ReadSecret", ["secretsmanager:GetSecretValue"], [secretArn])] : []),
    ...(secretKeyArn ? [allow("ReadSecretKey", ["kms:Decrypt"], [secretKeyArn])] : []),
    allow("Interfaces", ["ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"], interfaces),
    allow("DescribeNetwork", describe, NO_RESOURCE_LEVEL),
    ...(clusterArn ? [allow("FindBrokers", cluster, [clusterArn])] : []),
    ...(clusterArn && authentication === "IAM" ? mskIamPermissions(clusterArn, kafka) : []),
  ];
}

/** What MSK's own access control asks of a reader: https://docs.aws.amazon.com/lambda/latest/dg/msk-cluster-auth.html. */
function mskIamPermissions(clusterArn: string, { topic, consumerGroup }: KafkaSettings): PolicyStatement[] {
  const within = (kind: "topic" | "group", name: string): string[] => [
    `${clusterArn.replace(":cluster/", `:${kind}/`)}/${name}`,
  ];
  return [
    allow("JoinCluster", ["kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"], [clusterArn]),
    allow("ReadTopic", ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], within("topic", topic)),
    allow("UseGroup", ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"], within("group", consumerGroup)),
  ];
}
