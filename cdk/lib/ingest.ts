/** What carries events from the sources into the lake. Stateless: it can be taken away and made again. */
import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import type { Construct } from "constructs";

import { KafkaSource } from "./kafka-source.ts";
import { KinesisSource } from "./kinesis-source.ts";
import type { Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";
import { stored } from "./stored.ts";

export class Ingest extends Stack {
  readonly kinesis: KinesisSource;
  readonly kafka: KafkaSource | undefined;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, props: StackProps) {
    super(scope, id, props);
    const held = stored(this, settings, storage);
    this.kinesis = new KinesisSource(this, "Kinesis", settings, held.stream, held);
    this.kafka = settings.kafka ? new KafkaSource(this, "Kafka", settings, settings.kafka, held) : undefined;
    new CfnOutput(this, "FunctionName", { value: this.kinesis.ingest.function.functionName });
    new CfnOutput(this, "MappingId", { value: this.kinesis.mapping.eventSourceMappingId });
  }
}
