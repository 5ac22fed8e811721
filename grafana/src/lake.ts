/** The dashboard of what lies in the lake: objects, quarantine, reports. */
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard, type Row } from "./dashboard.ts";
import { graph, number } from "./panels.ts";
import { math, sum } from "./queries.ts";

const OBJECT_SIZE = [
  sum("BytesWritten", "bytes", { id: "bytes", hidden: true }),
  sum("ObjectsWritten", "objects", { id: "objects", hidden: true }),
  math("bytes / objects", "average"),
];

const GLANCE: Row = {
  title: "At a glance",
  panels: [
    number({
      title: "Rows",
      description: "Rows committed in the time range.",
      unit: "short",
      width: 4,
      reduce: "sum",
      queries: [sum("RowsWritten", "rows")],
    }),
    number({
      title: "Objects",
      description: "Objects committed under events/ in the time range.",
      unit: "short",
      width: 4,
      reduce: "sum",
      queries: [sum("ObjectsWritten", "objects")],
    }),
    number({
      title: "Bytes",
      description: "Bytes of these objects.",
      unit: "decbytes",
      width: 4,
      reduce: "sum",
      queries: [sum("BytesWritten", "bytes")],
    }),
    number({
      title: "Average object",
      description: "Bytes by objects, in the last period.",
      unit: "decbytes",
      width: 4,
      reduce: "lastNotNull",
      queries: OBJECT_SIZE,
    }),
    number({
      title: "Quarantined",
      description: "Records put into quarantine in the time range.",
      unit: "short",
      width: 4,
      reduce: "sum",
      queries: [sum("Rejected", "records")],
    }),
    number({
      title: "Nightly runs failed",
      description: "Nightly runs that failed, after all their tries, or took too long, in the time range.",
      unit: "short",
      width: 4,
      reduce: "sum",
      alarms: ["ReportFailed", "ReportTimedOut"],
      queries: [sum("ExecutionsFailed", "failed"), sum("ExecutionsTimedOut", "timed out")],
    }),
  ],
};

const OBJECTS: Row = {
  title: "Objects",
  panels: [
    graph({
      title: "Rows",
      description: "Rows committed, and those of them that were late.",
      unit: "short",
      width: 8,
      queries: [sum("RowsWritten", "rows"), sum("LateEvents", "late")],
    }),
    graph({
      title: "Objects",
      description: "Objects committed under events/.",
      unit: "short",
      width: 8,
      queries: [sum("ObjectsWritten", "objects")],
    }),
    graph({
      title: "Average object size",
      description: "Bytes by objects. Small objects make readers slow: larger batches make larger ones.",
      unit: "decbytes",
      width: 8,
      queries: OBJECT_SIZE,
    }),
  ],
};

const QUARANTINE_AND_REPORTS: Row = {
  title: "Quarantine and reports",
  panels: [
    graph({
      title: "Quarantined, by reason",
      description: "Records put into quarantine; functions/events/README.md lists the reasons.",
      unit: "short",
      width: 12,
      stacked: { lines: [] },
      queries: [sum("Rejected", "reason", { by: "Reason" })],
    }),
    graph({
      title: "Nightly runs",
      description: "Nightly runs that succeeded, that failed, and that took too long.",
      unit: "short",
      width: 12,
      alarms: ["ReportOverdue", "ReportFailed", "ReportTimedOut"],
      queries: [
        sum("ExecutionsSucceeded", "succeeded"),
        sum("ExecutionsFailed", "failed"),
        sum("ExecutionsTimedOut", "timed out"),
      ],
    }),
  ],
};

/** The dashboard "Lake". */
export function lake(): Dashboard {
  return dashboard(
    "tributary-lake",
    "Tributary: lake",
    "What lands in the lake, what lands in quarantine, and the reports made of it.",
    ["datasource", "stream", "machine", "runbook"],
    [GLANCE, OBJECTS, QUARANTINE_AND_REPORTS],
  );
}
