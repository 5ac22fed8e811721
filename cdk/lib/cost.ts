/** What a month costs, computed from the load, from what was measured, and from list prices. */
import { readFileSync } from "node:fs";

import type { Alarm } from "../../grafana/src/alarms.ts";
import { alarmDefinitions } from "./alarms.ts";
import { VALIDATE_DAYS } from "./nightly-machine.ts";
import { PRICES } from "./prices.ts";
import { KNOBS } from "./settings.ts";

/** A steady load on one stream. */
export interface Load {
  readonly eventsPerSecond: number;
  readonly eventBytes: number;
}

const DAY = 86_400;
export const MONTH_SECONDS = 30 * DAY;
const MONTH_HOURS = 30 * 24;
const GB = 2 ** 30;

/** What the pipeline does for a batch and a row. */
export const MEASURED = {
  /** Requests of a batch within one cell of the time grid, with everything warm: one LIST, the row object, its rollup. */
  s3RequestsPerBatch: 3,
  putMetricDataPerBatch: 1,
  /** Parquet bytes of a row: 273 kB for 9,894 rows (`make bench`). */
  parquetBytesPerEvent: 273_000 / 9894,
  /** Milliseconds of processor time of an event: 17.6 for 10,000 (`make bench`, two x86 cores). */
  processorMsPerEvent: 17.6 / 10_000,
  /** Log bytes of an invocation: the function's line and Lambda's REPORT, 470 here, and Lambda's START and END. */
  logBytesPerBatch: 700,
  /** Milliseconds of processor time of Spark for an event of the report: 8 s for a million (emr/README.md). */
  sparkMsPerEvent: 8000 / 1e6,
  /** Requests of Spark for an object that it reads: 4 HEAD, 3 GET (emr/README.md). */
  sparkRequestsPerObject: 7,
  /** Bytes that Lambda's envelope adds to a record: 548 on average in the event of `make bench`. */
  envelopeBytes: 548,
} as const;

/** What could not be measured without an account. */
export const ASSUMED = {
  /** Waiting in an invocation, 30 ms each: LIST, the rows, then the rollup beside the metrics. */
  waitMsPerBatch: 90,
  /** Share of a shard's 1,000 records and 1 MiB a second that is used. */
  shardUse: 0.7,
  /** Bytes of the table by those of the objects: the most that `make bench-lake` lets pass. */
  tableShare: 0.7,
  /** Times that compact handles an event, each as dear as in the report: footers, load, sort, and a later rewrite. */
  compactPasses: 4,
  /** Times that it reads an object: its footer, then its rows. */
  compactReads: 2,
  /** The same of the weekly validation: days and rows of the objects, and the table's rows. */
  validatePasses: 3,
  validateReads: 2,
  /** GB of memory that EMR Serverless bills with a processor: a worker of 4 and 16 GB. */
  gbPerVcpu: 4,
} as const;

/** What of the deployment decides about cost. */
export const DEPLOYED = {
  batchSize: KNOBS.batchSize.default,
  batchingWindowSeconds: KNOBS.batchingWindowSeconds.default,
  memoryMb: KNOBS.memoryMb.default,
  alarmMetrics: alarmDefinitions().reduce((sum, alarm) => sum + billedMetrics(alarm), 0),
  metricsPerStream: metricsPerStream(),
};

/** An alarm on an expression is billed for each metric that it reads (aws.amazon.com/cloudwatch/pricing). */
function billedMetrics({ metrics }: Alarm): number {
  return metrics?.length ?? 1;
}

/** The function's metrics with the dimension Stream alone; Lag is one more for each shard. */
function metricsPerStream(): number {
  const file = new URL("../../functions/events/schema/metrics.json", import.meta.url);
  const metrics = JSON.parse(readFileSync(file, "utf8")) as { publisher: string; dimensions: string[][] }[];
  return metrics
    .filter(({ publisher }) => publisher === "function")
    .flatMap(({ dimensions }) => dimensions)
    .filter((names) => names.join() === "Stream").length;
}

/** Lambda's limit of a payload. */
const PAYLOAD_BYTES = 6 * 2 ** 20;

/** What a load comes to, in a month. */
export interface Volume {
  readonly shards: number;
  readonly events: number;
  readonly gigabytes: number;
  readonly eventsPerBatch: number;
  readonly batches: number;
}

export function volume({ eventsPerSecond, eventBytes }: Load): Volume {
  const byRecords = eventsPerSecond / 1000;
  const byBytes = (eventsPerSecond * eventBytes) / 2 ** 20;
  const shards = Math.ceil(Math.max(byRecords, byBytes) / ASSUMED.shardUse);
  const base64Bytes = (eventBytes * 4) / 3;
  const eventsPerBatch = Math.min(
    DEPLOYED.batchSize,
    (eventsPerSecond / shards) * DEPLOYED.batchingWindowSeconds,
    Math.floor(PAYLOAD_BYTES / (base64Bytes + MEASURED.envelopeBytes)),
  );
  const events = eventsPerSecond * MONTH_SECONDS;
  return { shards, events, gigabytes: (events * eventBytes) / GB, eventsPerBatch, batches: events / eventsPerBatch };
}

/** One line of a bill. */
export interface Item {
  readonly item: string;
  readonly dollars: number;
}

/** The stream alone, which other consumers may share. */
export function streamItems(load: Load): Item[] {
  const { shards, events } = volume(load);
  const unitsPerEvent = Math.ceil(load.eventBytes / (25 * 1024));
  return [
    { item: "Kinesis, shards", dollars: shards * MONTH_HOURS * PRICES.kinesis.shardHour },
    { item: "Kinesis, PUT units (one a record)", dollars: events * unitsPerEvent * PRICES.kinesis.putUnits },
  ];
}

/**
 * Share of a processor that the function's memory brings: a whole one at 1,769 MB, and so in proportion
 * (https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html). One thread uses no more than one.
 */
export const processorShare = (): number => Math.min(1, DEPLOYED.memoryMb / 1769);

/** Everything from the stream to the lake. */
export function ingestItems(load: Load): Item[] {
  const { shards, events, eventsPerBatch, batches } = volume(load);
  const { lambda, s3, cloudWatch, xray, kms } = PRICES;
  const seconds = (ASSUMED.waitMsPerBatch + (MEASURED.processorMsPerEvent * eventsPerBatch) / processorShare()) / 1000;
  // X-Ray's default rule: the first request of a second, and five in a hundred of the others.
  const traces = Math.min(batches, MONTH_SECONDS) + 0.05 * Math.max(0, batches - MONTH_SECONDS);
  const metrics = DEPLOYED.metricsPerStream + shards;
  return [
    { item: "Lambda, requests", dollars: batches * lambda.request },
    { item: "Lambda, compute (arm64)", dollars: batches * seconds * (DEPLOYED.memoryMb / 1024) * lambda.gbSecondArm64 },
    { item: "S3, LIST and PUT", dollars: batches * MEASURED.s3RequestsPerBatch * s3.putOrList },
    { item: "S3, a month's events for a month", dollars: ((events * MEASURED.parquetBytesPerEvent) / GB) * s3.gbMonth },
    { item: "CloudWatch, metrics", dollars: metrics * cloudWatch.metricMonth },
    { item: "CloudWatch, PutMetricData", dollars: batches * MEASURED.putMetricDataPerBatch * cloudWatch.putMetricData },
    { item: "CloudWatch, logs", dollars: ((batches * MEASURED.logBytesPerBatch) / GB) * cloudWatch.logGb },
    {
      item: "CloudWatch, alarms; the topic's key",
      dollars: DEPLOYED.alarmMetrics * cloudWatch.alarmMonth + kms.keyMonth,
    },
    { item: "X-Ray, traces", dollars: traces * xray.trace },
  ];
}

const YEAR_DAYS = 365;
const NIGHTS_BEFORE_AND_WITH = (YEAR_DAYS * (YEAR_DAYS + 1)) / 2;

/** The first year of a lake, with a report each night: a table and objects that expire, or objects alone. */
export function yearItems(load: Load, compacted: boolean): Item[] {
  const { s3, emrServerless, cloudWatch } = PRICES;
  const { events, batches } = volume(load);
  const [eventsADay, objectsADay] = [events / 30, batches / 30];
  const gigabytesADay = (eventsADay * MEASURED.parquetBytesPerEvent) / GB;
  // What stands at each night's end, added up: everything so far, or that of the last days.
  const lives = compacted ? KNOBS.expireDays.default : YEAR_DAYS;
  const daysKept = lives * YEAR_DAYS - (lives * (lives - 1)) / 2;
  const months = (dayUnits: number): number => dayUnits / 30;
  const spark = (eventsRead: number): number =>
    ((eventsRead * MEASURED.sparkMsPerEvent) / 3.6e6) *
    (emrServerless.vcpuHour + ASSUMED.gbPerVcpu * emrServerless.gbHour);
  const validated = (days: number): number => days * (VALIDATE_DAYS / 7);
  const readsOfTable = YEAR_DAYS * ASSUMED.compactReads + validated(YEAR_DAYS) * ASSUMED.validateReads;
  const reads = objectsADay * (compacted ? readsOfTable : NIGHTS_BEFORE_AND_WITH);
  const line = (item: string, dollars: number): Item => ({ item, dollars });
  const only = (dollars: number): number => (compacted ? dollars : 0);
  return [
    line("S3, objects at rest", months(gigabytesADay * daysKept) * s3.gbMonth),
    line("S3, table at rest", only(months(gigabytesADay * ASSUMED.tableShare * NIGHTS_BEFORE_AND_WITH) * s3.gbMonth)),
    line("S3, requests that read", reads * MEASURED.sparkRequestsPerObject * s3.get),
    line("S3, requests that tag (an object and its rollup)", only(2 * objectsADay * YEAR_DAYS * s3.putOrList)),
    line("S3, tags at rest", only(months(2 * objectsADay * daysKept) * s3.tagMonth)),
    line("EMR Serverless, report", spark(eventsADay * (compacted ? YEAR_DAYS : NIGHTS_BEFORE_AND_WITH))),
    line("EMR Serverless, compaction", only(spark(eventsADay * YEAR_DAYS * ASSUMED.compactPasses))),
    line("EMR Serverless, weekly validation", only(spark(eventsADay * validated(YEAR_DAYS) * ASSUMED.validatePasses))),
    line("CloudWatch, two metrics an hour a night", only((2 * cloudWatch.metricMonth * 12) / 24)),
  ];
}

/** Amazon Data Firehose with conversion to Parquet, for the same events. It needs no stream of its own. */
export function firehoseItems({ eventsPerSecond, eventBytes }: Load): Item[] {
  const { ingestion, parquetGb, recordBytes } = PRICES.firehose;
  const billedBytes = Math.ceil(eventBytes / recordBytes) * recordBytes;
  const gigabytes = (eventsPerSecond * MONTH_SECONDS * billedBytes) / GB;
  let [below, dollars] = [0, 0];
  for (const { upToGb, gb } of ingestion) {
    dollars += Math.max(0, Math.min(gigabytes, upToGb) - below) * gb;
    below = upToGb;
  }
  return [
    { item: "Firehose, ingestion (at least 5 KB a record)", dollars },
    { item: "Firehose, conversion to Parquet", dollars: gigabytes * parquetGb },
  ];
}

/** Hours that a rehearsal is allowed, the nightly run's own limit among them. */
const REHEARSAL_HOURS = 5;

/**
 * What a rehearsal may cost at most: every metered part at its limit for as long as it may take.
 *
 * Metrics and alarms are billed by the hour, the keys of two deployments of a topic by the hour as well.
 */
export function rehearsalItems(): Item[] {
  const { kinesis, cloudWatch, kms, emrServerless } = PRICES;
  // Three jobs, each with two more tries.
  const runs = 9;
  const share = REHEARSAL_HOURS / MONTH_HOURS;
  const run = KNOBS.reportTimeoutMinutes.default / 60;
  const vcpu = KNOBS.reportMaximumVcpu.default * run * emrServerless.vcpuHour;
  const memory = KNOBS.reportMaximumMemoryGb.default * run * emrServerless.gbHour;
  return [
    { item: "Kinesis, shards", dollars: KNOBS.shards.default * REHEARSAL_HOURS * kinesis.shardHour },
    { item: "EMR Serverless, nine runs at the application's limit", dollars: runs * (vcpu + memory) },
    { item: "CloudWatch, alarms and their copies", dollars: 2 * DEPLOYED.alarmMetrics * cloudWatch.alarmMonth * share },
    {
      item: "CloudWatch, metrics",
      dollars: (DEPLOYED.metricsPerStream + KNOBS.shards.default + DEPLOYED.alarmMetrics) * cloudWatch.metricMonth,
    },
    { item: "KMS, two keys of a topic", dollars: 2 * kms.keyMonth },
    { item: "Lambda, S3, Step Functions, logs: some thousand requests", dollars: 0.1 },
  ];
}

export const total = (items: readonly Item[]): number => items.reduce((sum, { dollars }) => sum + dollars, 0);
