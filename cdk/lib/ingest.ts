/** What carries events from the sources into the lake, and who is told when it does not. Stateless. */
import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import type { Construct } from "constructs";

import { makeAlarms } from "./alarms.ts";
import { KafkaSource } from "./kafka-source.ts";
import { KinesisSource } from "./kinesis-source.ts";
import { streamName } from "./names.ts";
import { Redrive } from "./redrive.ts";
import type { Settings } from "./settings.ts";
import type { Storage } from "./storage.ts";
import { stored } from "./stored.ts";

export class Ingest extends Stack {
  readonly kinesis: KinesisSource | undefined;
  readonly kafka: KafkaSource | undefined;

  constructor(scope: Construct, id: string, settings: Settings, storage: Storage, props: StackProps) {
    super(scope, id, props);
    const held = stored(this, settings, storage);
    const { stream } = held;
    this.kinesis = stream ? new KinesisSource(this, "Kinesis", settings, stream, held) : undefined;
    this.kafka = settings.kafka ? new KafkaSource(this, "Kafka", settings, settings.kafka, held) : undefined;
    new Redrive(this, "Redrive", {
      settings,
      stored: held,
      kinesis: this.kinesis?.ingest.live,
      kafka: this.kafka?.ingest.live,
    });
    if (this.kinesis) this.watch("kinesis", this.kinesis, settings, streamName(settings));
    if (this.kafka) this.watch("kafka", this.kafka, settings, settings.kafka?.topic ?? "");
  }

  private watch(source: "kinesis" | "kafka", made: KinesisSource | KafkaSource, settings: Settings, stream: string) {
    const { ingest, mapping } = made;
    const placeholders = {
      $stream: stream,
      $function: ingest.function.functionName,
      $mapping: mapping.eventSourceMappingId,
    };
    makeAlarms(made, settings, source, placeholders);
    const title = source === "kinesis" ? "" : "Kafka";
    new CfnOutput(this, `${title}FunctionName`, { value: ingest.function.functionName });
    new CfnOutput(this, `${title}MappingId`, { value: mapping.eventSourceMappingId });
  }
}
