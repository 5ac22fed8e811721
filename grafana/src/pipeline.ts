/** The dashboard of the stream and the function: volume, account, lag, failures, cost. */
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { alarmList } from "./alarm_list.ts";
import { COST_DESCRIPTION, costQueries } from "./cost.ts";
import { dashboard, type Row } from "./dashboard.ts";
import { graph, number } from "./panels.ts";
import { math, statistic, sum } from "./queries.ts";

const ACCOUNT = [
  sum("RowsWritten", "written", { id: "written" }),
  sum("DuplicatesDropped", "duplicates", { id: "duplicates" }),
  sum("Filtered", "filtered", { id: "filtered" }),
  sum("Rejected", "rejected", { id: "rejected" }),
  sum("RecordsReceived", "received", { id: "received" }),
];
const REMAINDER = "received - written - duplicates - filtered - rejected";

const GLANCE: Row = {
  title: "At a glance",
  panels: [
    number({
      title: "Records received",
      description: "Delivered to the function in the time range, redeliveries included.",
      unit: "short",
      width: 4,
      reduce: "sum",
      queries: [sum("RecordsReceived", "received")],
    }),
    number({
      title: "Rows written",
      description: "Rows committed to the lake in the time range.",
      unit: "short",
      width: 4,
      reduce: "sum",
      queries: [sum("RowsWritten", "written")],
    }),
    number({
      title: "Duplicates and filtered",
      description: "Rows that were committed already, and rows dropped on purpose.",
      unit: "short",
      width: 4,
      reduce: "sum",
      queries: [sum("DuplicatesDropped", "duplicates"), sum("Filtered", "filtered")],
    }),
    number({
      title: "Rejected",
      description: "Records put into quarantine, per cent of what was received, in the last period.",
      unit: "percent",
      width: 4,
      reduce: "lastNotNull",
      alarms: ["RejectionRatioHigh"],
      queries: [
        sum("Rejected", "rejected", { id: "rejected", hidden: true }),
        sum("RecordsReceived", "received", { id: "received", hidden: true }),
        math("100 * rejected / received", "rejected"),
      ],
    }),
    number({
      title: "Handed back",
      description:
        "Received less written, duplicates, filtered and rejected: what invocations handed back to Lambda, to be delivered again. Nothing else may be missing.",
      unit: "short",
      width: 4,
      reduce: "sum",
      queries: [...ACCOUNT.map((query) => ({ ...query, hidden: true })), math(REMAINDER, "handed back")],
    }),
    number({
      title: "Given up",
      description:
        "Records of batches that passed their retry or age limit, to the on-failure destination or without one.",
      unit: "short",
      width: 4,
      reduce: "sum",
      alarms: ["BatchesGivenUp", "RecordsDropped"],
      queries: [
        sum("OnFailureDestinationDeliveredEventCount", "to the destination"),
        sum("DroppedEventCount", "dropped"),
      ],
    }),
    number({
      title: "Age at delivery, worst shard",
      description: "Age of the last record of a batch when it is delivered.",
      unit: "ms",
      width: 4,
      reduce: "lastNotNull",
      alarms: ["LagHigh"],
      queries: [statistic("IteratorAge", "Maximum", "age")],
    }),
    number({
      title: "Batch duration, p99",
      description: "From the start of an invocation to its answer, in the last period.",
      unit: "ms",
      width: 4,
      reduce: "lastNotNull",
      queries: [statistic("BatchDuration", "p99", "p99")],
    }),
    number({
      title: "Errors",
      description: "Invocations that ended in an error, a crash or a time-out.",
      unit: "short",
      width: 4,
      reduce: "sum",
      alarms: ["FunctionErrors"],
      queries: [sum("Errors", "errors")],
    }),
    number({
      title: "Failed deliveries",
      description: "Records of invocations that failed, wholly or in part.",
      unit: "short",
      width: 4,
      reduce: "sum",
      alarms: ["ShardStalled"],
      queries: [sum("FailedInvokeEventCount", "failed")],
    }),
    number({
      title: "Cold starts",
      description: "First invocations of an execution environment.",
      unit: "short",
      width: 4,
      reduce: "sum",
      queries: [sum("ColdStarts", "cold starts")],
    }),
    number({
      title: "Cost a month, at this rate",
      description: COST_DESCRIPTION,
      unit: "currencyUSD",
      width: 4,
      reduce: "lastNotNull",
      queries: costQueries({ totalOnly: true }),
    }),
  ],
};

const VOLUME: Row = {
  title: "Volume",
  panels: [
    graph({
      title: "Message volume",
      description:
        "Records a period. Late: rows committed whose event time is older than their arrival by more than the lateness bound.",
      unit: "short",
      width: 12,
      alarms: ["NoData"],
      queries: [
        sum("EventsProduced", "produced"),
        sum("RecordsReceived", "in"),
        sum("RowsWritten", "written"),
        sum("DuplicatesDropped", "duplicates"),
        sum("Filtered", "filtered"),
        sum("Rejected", "rejected"),
        sum("LateEvents", "late"),
      ],
    }),
    graph({
      title: "Received = written + duplicates + filtered + rejected",
      description: "The bars reach the line, but for what invocations handed back to Lambda.",
      unit: "short",
      width: 12,
      stacked: { lines: ["received"] },
      queries: ACCOUNT,
    }),
    graph({
      title: "Rejected, by reason",
      description: "Records put into quarantine; functions/events/README.md lists the reasons.",
      unit: "short",
      width: 8,
      stacked: { lines: [] },
      queries: [sum("Rejected", "reason", { by: "Reason" })],
    }),
    graph({
      title: "Rejected, per cent",
      description: "Of the records received.",
      unit: "percent",
      width: 8,
      alarms: ["RejectionRatioHigh"],
      queries: [
        sum("Rejected", "rejected", { id: "rejected", hidden: true }),
        sum("RecordsReceived", "received", { id: "received", hidden: true }),
        math("100 * rejected / received", "rejected"),
      ],
    }),
    graph({
      title: "Bytes in and out",
      description: "Payload bytes received, and bytes of the objects committed under events/.",
      unit: "decbytes",
      width: 8,
      queries: [sum("BytesReceived", "in"), sum("BytesWritten", "out")],
    }),
  ],
};

const LAG: Row = {
  title: "Lag",
  panels: [
    graph({
      title: "Lag by shard",
      description:
        "Now minus the arrival of the last record committed. A line that ends is a shard that commits nothing any more. With many shards the legend, sorted by Max, names the worst; choose them above, because CloudWatch bills each shard of each refresh.",
      unit: "ms",
      width: 16,
      legendRight: true,
      queries: [statistic("Lag", "Maximum", "shard", { by: "Shard" })],
    }),
    graph({
      title: "Age at delivery, worst shard",
      description:
        "Age of the last record of a batch when it is delivered. One metric, whatever the number of shards. Of a stream only.",
      unit: "ms",
      width: 8,
      alarms: ["LagHigh"],
      queries: [statistic("IteratorAge", "Maximum", "age")],
    }),
    graph({
      title: "Records behind, all partitions",
      description: "Records of the topic that the function is not done with. Of a topic only.",
      unit: "short",
      width: 24,
      alarms: ["OffsetLagHigh"],
      queries: [statistic("OffsetLag", "Maximum", "behind")],
    }),
  ],
};

const BATCHES: Row = {
  title: "Batches",
  panels: [
    graph({
      title: "Batch duration",
      description: "From the start of an invocation to its answer.",
      unit: "ms",
      width: 8,
      queries: [
        statistic("BatchDuration", "p50", "p50"),
        statistic("BatchDuration", "p95", "p95"),
        statistic("BatchDuration", "p99", "p99"),
      ],
    }),
    graph({
      title: "Invocations",
      description: "Invocations, and those among them that were the first of an execution environment.",
      unit: "short",
      width: 8,
      queries: [sum("Invocations", "invocations"), sum("ColdStarts", "cold starts")],
    }),
    graph({
      title: "Records an invocation",
      description: "Small batches make small objects: see BatchSize and MaximumBatchingWindowInSeconds.",
      unit: "short",
      width: 8,
      queries: [statistic("RecordsReceived", "Average", "records")],
    }),
  ],
};

const FAILURES: Row = {
  title: "Failures and retries",
  panels: [
    graph({
      title: "Failed invocations",
      description:
        "Errors: crashes, time-outs, starts that failed. Handed back: the function said from where to deliver again.",
      unit: "short",
      width: 8,
      alarms: ["FunctionErrors"],
      queries: [sum("Errors", "errors"), sum("BatchFailures", "handed back")],
    }),
    graph({
      title: "Share of invocations that handed records back",
      description: "Every invocation publishes 0 or 1; this is the average.",
      unit: "percentunit",
      width: 8,
      alarms: ["BatchesHandedBack"],
      queries: [statistic("BatchFailures", "Average", "handed back")],
    }),
    graph({
      title: "Records of failed deliveries",
      description:
        "Records of invocations that failed, wholly or in part. One batch that fails again and again is a steady line.",
      unit: "short",
      width: 8,
      alarms: ["ShardStalled"],
      queries: [sum("FailedInvokeEventCount", "failed")],
    }),
    graph({
      title: "Records given up",
      description: "Of batches that passed their retry or age limit.",
      unit: "short",
      width: 6,
      alarms: ["BatchesGivenUp", "RecordsDropped"],
      queries: [
        sum("OnFailureDestinationDeliveredEventCount", "to the destination"),
        sum("DroppedEventCount", "dropped"),
      ],
    }),
    graph({
      title: "Redeliveries",
      description: "Invocations that found every acceptable row committed already.",
      unit: "short",
      width: 6,
      queries: [sum("Redeliveries", "redeliveries")],
    }),
    graph({
      title: "Commit conflicts an invocation",
      description: "Creates that found their place in the log taken (412).",
      unit: "short",
      width: 6,
      alarms: ["CommitConflictsHigh"],
      queries: [statistic("CommitConflicts", "Average", "conflicts")],
    }),
    graph({
      title: "The producer's retries",
      description: "Records that had to be put again, and records that could not be put in the time given.",
      unit: "short",
      width: 6,
      queries: [sum("PutRetries", "retries"), sum("PutFailures", "failures")],
    }),
  ],
};

const COST: Row = {
  title: "Cost",
  panels: [
    graph({
      title: "Cost a month, at this rate",
      description: COST_DESCRIPTION,
      unit: "currencyUSD",
      width: 24,
      queries: costQueries({ totalOnly: false }),
    }),
  ],
};

const AWS_ONLY: Row = {
  title: "On AWS only",
  panels: [
    graph({
      title: "Invocations throttled",
      description: "Refused for want of concurrency.",
      unit: "short",
      width: 6,
      alarms: ["FunctionThrottled"],
      queries: [sum("Throttles", "throttled")],
    }),
    graph({
      title: "Concurrent executions",
      description: "Execution environments at work at once.",
      unit: "short",
      width: 6,
      queries: [statistic("ConcurrentExecutions", "Maximum", "at once")],
    }),
    graph({
      title: "Into the stream",
      description: "Records put into the stream.",
      unit: "short",
      width: 4,
      queries: [sum("IncomingRecords", "records")],
    }),
    graph({
      title: "Bytes into the stream",
      description: "Bytes put into the stream.",
      unit: "decbytes",
      width: 4,
      queries: [sum("IncomingBytes", "bytes")],
    }),
    graph({
      title: "Throttled by the stream",
      description: "Records refused because a shard was full, and reads refused because its limit was reached.",
      unit: "short",
      width: 4,
      alarms: ["WritesThrottled"],
      queries: [sum("WriteProvisionedThroughputExceeded", "writes"), sum("ReadProvisionedThroughputExceeded", "reads")],
    }),
  ],
};

/** The dashboard "Pipeline". */
export function pipeline(): Dashboard {
  return dashboard(
    "tributary-pipeline",
    "Tributary: pipeline",
    "From the stream to the lake: volume, account, lag, failures and cost of one stream and its function.",
    ["datasource", "stream", "shard", "function", "mapping", "runbook"],
    [GLANCE, VOLUME, LAG, BATCHES, FAILURES, COST, AWS_ONLY, { title: "Runbook", panels: [alarmList()] }],
  );
}
