/** The Kinesis stream as a source: the function and Lambda's event source mapping. */
import { Duration } from "aws-cdk-lib";
import type { IStream } from "aws-cdk-lib/aws-kinesis";
import { EventSourceMapping, MetricType, StartingPosition } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";

import { givenUpTo, IngestFunction } from "./ingest-function.ts";
import { kinesisPermissions, type Sinks } from "./ingest-permissions.ts";
import { agreement } from "./partial-responses.ts";
import type { Settings } from "./settings.ts";

export class KinesisSource extends Construct {
  readonly ingest: IngestFunction;
  readonly mapping: EventSourceMapping;

  constructor(scope: Construct, id: string, settings: Settings, stream: IStream, sinks: Sinks) {
    super(scope, id);
    const agreed = agreement(settings.partialResponses ? "on" : "off");
    this.ingest = new IngestFunction(this, "Ingest", {
      settings,
      sinks,
      binary: "ingest-kinesis",
      permissions: kinesisPermissions(stream),
      environment: agreed.environment,
    });
    const { retryAttempts, maximumRecordAgeSeconds } = settings;
    this.mapping = new EventSourceMapping(this, "Mapping", {
      target: this.ingest.live,
      eventSourceArn: stream.streamArn,
      startingPosition: StartingPosition[settings.startingPosition],
      batchSize: settings.batchSize,
      maxBatchingWindow: Duration.seconds(settings.batchingWindowSeconds),
      parallelizationFactor: settings.parallelizationFactor,
      ...agreed.mapping,
      bisectBatchOnError: true,
      ...(retryAttempts >= 0 ? { retryAttempts } : {}),
      ...(maximumRecordAgeSeconds >= 0 ? { maxRecordAge: Duration.seconds(maximumRecordAgeSeconds) } : {}),
      onFailure: givenUpTo(sinks.onFailure),
      metricsConfig: { metrics: [MetricType.EVENT_COUNT] },
    });
  }
}
