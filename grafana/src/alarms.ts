/** The one definition of the alarms, alarms.json, and what dashboards show of it. */
import { readFileSync } from "node:fs";

/** One metric of an alarm. Dimension values are placeholders such as `$stream`, which whoever creates the alarm fills in. */
export interface AlarmMetric {
  namespace: string;
  name: string;
  statistic: string;
  dimensions: Record<string, string>;
}

/** An alarm: on one `metric`, or on an `expression` over `metrics`. */
export interface Alarm {
  /** Also its heading in RUNBOOK.md. */
  name: string;
  /** What has such an alarm: a stream's function, a topic's, both (any), or the nightly run. */
  source: "kinesis" | "kafka" | "any" | "nightly";
  summary: string;
  /** Why it is defined so. */
  why: string;
  severity: "critical" | "warning";
  metric?: AlarmMetric;
  expression?: string;
  metrics?: (AlarmMetric & { id: string })[];
  threshold: number;
  comparison:
    "GreaterThanThreshold" | "GreaterThanOrEqualToThreshold" | "LessThanThreshold" | "LessThanOrEqualToThreshold";
  period_seconds: number;
  evaluation_periods: number;
  datapoints_to_alarm: number;
  treat_missing_data: "breaching" | "notBreaching" | "ignore" | "missing";
  /** Of the value that is compared, for people. Not for PutMetricAlarm, where a unit filters the data. */
  unit: "Count" | "Milliseconds" | "Percent" | "None";
}

const DEFINITION = JSON.parse(readFileSync(new URL("../alarms.json", import.meta.url), "utf8")) as {
  placeholders: Record<string, string>;
  alarms: Alarm[];
};

/** Every alarm. */
export const ALARMS = DEFINITION.alarms;

/** What stands for the names that only an account or a stack knows. */
export const PLACEHOLDERS = DEFINITION.placeholders;

/** The alarm of that name. Throws if there is none. */
export function alarm(name: string): Alarm {
  const found = ALARMS.find((each) => each.name === name);
  if (!found) {
    throw new Error(`alarm '${name}' is not in grafana/alarms.json`);
  }
  return found;
}

/** The metrics that an alarm reads. */
export function metricsOf({ metric, metrics }: Alarm): AlarmMetric[] {
  return metrics ?? (metric ? [metric] : []);
}

/** Where RUNBOOK.md, at the address that the dashboards' variable names, tells what to do. */
export function runbook({ name }: Alarm): string {
  return `\${runbook}#${name.toLowerCase()}`;
}

const SIGN = {
  GreaterThanThreshold: ">",
  GreaterThanOrEqualToThreshold: ">=",
  LessThanThreshold: "<",
  LessThanOrEqualToThreshold: "<=",
};

/** The condition in one line. */
export function condition(alarm: Alarm): string {
  const named = metricsOf(alarm).map(({ name, statistic }) => `${name} (${statistic})`);
  const of = alarm.expression === undefined ? "" : `${alarm.expression}, of `;
  const unit = { Count: "", Milliseconds: " ms", Percent: " %", None: "" }[alarm.unit];
  const { datapoints_to_alarm: breaching, evaluation_periods: periods, period_seconds: seconds } = alarm;
  return (
    `${of}${named.join(" and ")} ${SIGN[alarm.comparison]} ${String(alarm.threshold)}${unit} ` +
    `in ${String(breaching)} of ${String(periods)} periods of ${String(seconds)} s`
  );
}
