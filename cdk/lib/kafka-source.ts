/** A Kafka or Redpanda topic as a source: MSK, or a cluster of one's own in a VPC. */
import { Duration, Stack } from "aws-cdk-lib";
import {
  EventSourceMapping,
  MetricType,
  SourceAccessConfigurationType,
  StartingPosition,
} from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";

import { givenUpTo, IngestFunction } from "./ingest-function.ts";
import { kafkaPermissions, type Sinks } from "./ingest-permissions.ts";
import type { KafkaSettings } from "./kafka-settings.ts";
import { agreement } from "./partial-responses.ts";
import type { Settings } from "./settings.ts";

const AUTHENTICATION = {
  SASL_SCRAM_256: SourceAccessConfigurationType.SASL_SCRAM_256_AUTH,
  SASL_SCRAM_512: SourceAccessConfigurationType.SASL_SCRAM_512_AUTH,
  CLIENT_CERTIFICATE_TLS: SourceAccessConfigurationType.CLIENT_CERTIFICATE_TLS_AUTH,
};

/**
 * With endless retries and a destination Lambda would give up after 10, within minutes of an outage
 * (https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure-destination.html), so the most it takes is said.
 */
const ENDLESS = 10_000;

export class KafkaSource extends Construct {
  readonly ingest: IngestFunction;
  readonly mapping: EventSourceMapping;

  constructor(scope: Construct, id: string, settings: Settings, kafka: KafkaSettings, sinks: Sinks) {
    super(scope, id);
    const agreed = agreement(kafka.partialResponses);
    this.ingest = new IngestFunction(this, "Ingest", {
      settings,
      sinks,
      binary: "ingest-redpanda",
      permissions: kafkaPermissions(Stack.of(this), kafka),
      environment: agreed.environment,
    });
    const { clusterArn, bootstrapServers, subnetIds = [], securityGroupIds = [] } = kafka;
    const { retryAttempts, maximumRecordAgeSeconds } = settings;
    const access = [
      ...(kafka.authentication !== "IAM" && kafka.secretArn !== undefined
        ? [{ type: AUTHENTICATION[kafka.authentication], uri: kafka.secretArn }]
        : []),
      ...subnetIds.map((id) => ({ type: SourceAccessConfigurationType.VPC_SUBNET, uri: `subnet:${id}` })),
      ...securityGroupIds.map((id) => ({
        type: SourceAccessConfigurationType.VPC_SECURITY_GROUP,
        uri: `security_group:${id}`,
      })),
    ];
    this.mapping = new EventSourceMapping(this, "Mapping", {
      target: this.ingest.live,
      ...(clusterArn ? { eventSourceArn: clusterArn } : {}),
      ...(bootstrapServers ? { kafkaBootstrapServers: bootstrapServers } : {}),
      kafkaTopic: kafka.topic,
      kafkaConsumerGroupId: kafka.consumerGroup,
      ...(access.length > 0 ? { sourceAccessConfigurations: access } : {}),
      startingPosition: StartingPosition[settings.startingPosition],
      batchSize: settings.batchSize,
      maxBatchingWindow: Duration.seconds(settings.batchingWindowSeconds),
      // The controls of failed batches need provisioned pollers (Lambda guide, "error handling controls for Kafka").
      provisionedPollerConfig: { minimumPollers: kafka.minimumPollers, maximumPollers: kafka.maximumPollers },
      ...agreed.mapping,
      bisectBatchOnError: true,
      retryAttempts: retryAttempts >= 0 ? retryAttempts : ENDLESS,
      ...(maximumRecordAgeSeconds >= 0 ? { maxRecordAge: Duration.seconds(maximumRecordAgeSeconds) } : {}),
      onFailure: givenUpTo(sinks.onFailure),
      supportS3OnFailureDestination: true,
      metricsConfig: { metrics: [MetricType.EVENT_COUNT] },
    });
  }
}
