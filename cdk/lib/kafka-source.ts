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
import { agreement } from "./partial-responses.ts";
import type { KafkaSettings, Settings } from "./settings.ts";

const AUTHENTICATION = {
  SASL_SCRAM_256: SourceAccessConfigurationType.SASL_SCRAM_256_AUTH,
  SASL_SCRAM_512: SourceAccessConfigurationType.SASL_SCRAM_512_AUTH,
  CLIENT_CERTIFICATE_TLS: SourceAccessConfigurationType.CLIENT_CERTIFICATE_TLS_AUTH,
};

export class KafkaSource extends Construct {
  readonly ingest: IngestFunction;
  readonly mapping: EventSourceMapping;

  constructor(scope: Construct, id: string, settings: Settings, kafka: KafkaSettings, sinks: Sinks) {
    super(scope, id);
    const answers = agreement("partition");
    this.ingest = new IngestFunction(this, "Ingest", {
      settings,
      sinks,
      binary: "ingest-redpanda",
      permissions: kafkaPermissions(Stack.of(this), kafka),
      answers,
    });
    const { clusterArn, bootstrapServers, subnetIds = [], securityGroupIds = [] } = kafka;
    const { retryAttempts, maximumRecordAgeSeconds } = settings;
    this.mapping = new EventSourceMapping(this, "Mapping", {
      target: this.ingest.live,
      ...(clusterArn ? { eventSourceArn: clusterArn } : {}),
      ...(bootstrapServers ? { kafkaBootstrapServers: bootstrapServers } : {}),
      kafkaTopic: kafka.topic,
      kafkaConsumerGroupId: kafka.consumerGroup,
      sourceAccessConfigurations: [
        { type: AUTHENTICATION[kafka.authentication], uri: kafka.secretArn },
        ...subnetIds.map((id) => ({ type: SourceAccessConfigurationType.VPC_SUBNET, uri: `subnet:${id}` })),
        ...securityGroupIds.map((id) => ({
          type: SourceAccessConfigurationType.VPC_SECURITY_GROUP,
          uri: `security_group:${id}`,
        })),
      ],
      startingPosition: StartingPosition[settings.startingPosition],
      batchSize: settings.batchSize,
      maxBatchingWindow: Duration.seconds(settings.batchingWindowSeconds),
      // The controls of failed batches need provisioned pollers (Lambda guide, "error handling controls for Kafka").
      provisionedPollerConfig: { minimumPollers: kafka.minimumPollers, maximumPollers: kafka.maximumPollers },
      ...answers.mapping,
      bisectBatchOnError: true,
      ...(retryAttempts >= 0 ? { retryAttempts } : {}),
      ...(maximumRecordAgeSeconds >= 0 ? { maxRecordAge: Duration.seconds(maximumRecordAgeSeconds) } : {}),
      onFailure: givenUpTo(sinks.onFailure),
      supportS3OnFailureDestination: true,
      metricsConfig: { metrics: [MetricType.EVENT_COUNT] },
    });
  }
}
