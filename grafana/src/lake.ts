/** The dashboard of what lies in the lake: objects, quarantine, reports. */
import type { Dashboard } from "@grafana/grafana-foundation-sdk/dashboard";
import { dashboard, type Row } from "./dashboard.ts";
import { graph, number } from "./panels.ts";
import { math, statistic, sum } from "./queries.ts";

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
      title: "Reports failed",
      description: "Report runs that failed: the most in one period of the time range.",
      unit: "short",
      width: 4,
      reduce: "max",
      alarms: ["ReportFailed"],
      queries: [statistic("FailedJobs", "Maximum", "failed")],
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
      description: "Records put into quarantine; the README lists the reasons.",
      unit: "short",
      width: 12,
      stacked: { lines: [] },
      queries: [sum("Rejected", "reason", { by: "Reason" })],
    }),
    graph({
      title: "Report runs",
      description: "Report runs that succeeded and that failed.",
      unit: "short",
      width: 12,
      alarms: ["ReportFailed"],
      queries: [statistic("SuccessJobs", "Maximum", "succeeded"), statistic("FailedJobs", "Maximum", "failed")],
    }),
  ],
};

/** The dashboard "Lake". */
export function lake(): Dashboard {
  return dashboard(
    "tributary-lake",
    "Tributary: lake",
    "What lands in the lake, what lands in quarantine, and the reports made of it.",
    ["datasource", "stream", "application", "runbook"],
    [GLANCE, OBJECTS, QUARANTINE_AND_REPORTS],
  );
}
