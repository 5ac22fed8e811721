/** The alarms of grafana/alarms.json, the one definition that dashboards and CloudWatch share. */
import { readFileSync } from "node:fs";

import { Duration, Stack } from "aws-cdk-lib";
import {
  Alarm,
  ComparisonOperator,
  MathExpression,
  Metric,
  TreatMissingData,
  type IMetric,
} from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { Topic } from "aws-cdk-lib/aws-sns";
import type { Construct } from "constructs";

import { topicName } from "./names.ts";
import { SettingsError, type Settings } from "./settings.ts";

/** One metric; dimension values may be placeholders such as `$stream`. */
export interface MetricDefinition {
  readonly namespace: string;
  readonly name: string;
  readonly statistic: string;
  readonly dimensions: Readonly<Record<string, string>>;
}

/** An alarm on one `metric`, or on an `expression` over `metrics`. */
export interface AlarmDefinition {
  /** Also its heading in RUNBOOK.md. */
  readonly name: string;
  /** What has such an alarm: a stream's function, a topic's, both (any), or the nightly run. */
  readonly source: "kinesis" | "kafka" | "any" | "nightly";
  readonly summary: string;
  readonly severity: "critical" | "warning";
  readonly metric?: MetricDefinition;
  readonly expression?: string;
  readonly metrics?: readonly (MetricDefinition & { readonly id: string })[];
  readonly threshold: number;
  readonly comparison: string;
  readonly period_seconds: number;
  readonly evaluation_periods: number;
  readonly datapoints_to_alarm: number;
  readonly treat_missing_data: string;
}

/** What the placeholders stand for in one deployment. */
export type Placeholders = Readonly<Record<string, string>>;

/** Every alarm of the file but those `leftOut`. Throws SettingsError when one of those is not in it. */
export function alarmDefinitions(leftOut: readonly string[] = []): AlarmDefinition[] {
  const file = new URL("../../grafana/alarms.json", import.meta.url);
  const { alarms } = JSON.parse(readFileSync(file, "utf8")) as { alarms: AlarmDefinition[] };
  for (const name of leftOut) {
    if (!alarms.some((alarm) => alarm.name === name)) {
      throw new SettingsError(`alarmsLeftOut names '${name}', which is not in grafana/alarms.json`);
    }
  }
  return alarms.filter(({ name }) => !leftOut.includes(name));
}

const COMPARISONS: Readonly<Record<string, ComparisonOperator>> = {
  GreaterThanThreshold: ComparisonOperator.GREATER_THAN_THRESHOLD,
  GreaterThanOrEqualToThreshold: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
  LessThanThreshold: ComparisonOperator.LESS_THAN_THRESHOLD,
  LessThanOrEqualToThreshold: ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD,
};

const MISSING: Readonly<Record<string, TreatMissingData>> = {
  breaching: TreatMissingData.BREACHING,
  notBreaching: TreatMissingData.NOT_BREACHING,
  ignore: TreatMissingData.IGNORE,
  missing: TreatMissingData.MISSING,
};

function known<Value>(table: Readonly<Record<string, Value>>, key: string, alarm: string): Value {
  const value = table[key];
  if (value === undefined) throw new Error(`alarm '${alarm}': '${key}' is none of ${Object.keys(table).join(", ")}`);
  return value;
}

/**
 * The alarms of one source under `scope`, in the stack that holds what they watch, so that no stack needs another's names.
 *
 * The topic is another stack's and known by name: CloudWatch does not ask whether it is there.
 */
export function makeAlarms(
  scope: Construct,
  settings: Settings,
  source: "kinesis" | "kafka" | "nightly",
  placeholders: Placeholders,
): Alarm[] {
  const topicArn = Stack.of(scope).formatArn({ service: "sns", resource: topicName(settings) });
  const topic = Topic.fromTopicArn(scope, "Alarms", topicArn);
  // A topic's alarms stand beside the stream's.
  const suffix = source === "kafka" ? "-kafka" : "";
  const shared = source === "nightly" ? source : "any";
  return alarmDefinitions(settings.alarmsLeftOut)
    .filter((definition) => definition.source === source || definition.source === shared)
    .map((definition) => {
      const alarm = makeAlarm(scope, definition, `${settings.name}-${definition.name}${suffix}`, placeholders);
      alarm.addAlarmAction(new SnsAction(topic));
      alarm.addOkAction(new SnsAction(topic));
      return alarm;
    });
}

/** A CloudWatch alarm made from its definition. */
export function makeAlarm(
  scope: Construct,
  definition: AlarmDefinition,
  alarmName: string,
  placeholders: Placeholders,
): Alarm {
  const { name, summary, severity } = definition;
  return new Alarm(scope, name, {
    alarmName,
    alarmDescription: `${summary} (${severity}). RUNBOOK.md, ${name}.`,
    metric: metricOf(definition, placeholders),
    threshold: definition.threshold,
    comparisonOperator: known(COMPARISONS, definition.comparison, name),
    evaluationPeriods: definition.evaluation_periods,
    datapointsToAlarm: definition.datapoints_to_alarm,
    treatMissingData: known(MISSING, definition.treat_missing_data, name),
  });
}

function metricOf(
  { name, metric, expression, metrics = [], period_seconds }: AlarmDefinition,
  placeholders: Placeholders,
): IMetric {
  const period = Duration.seconds(period_seconds);
  const one = ({ namespace, name: metricName, statistic, dimensions }: MetricDefinition): Metric => {
    const filled = Object.entries(dimensions).map(([key, value]) => [
      key,
      value.startsWith("$") ? known(placeholders, value, name) : value,
    ]);
    return new Metric({
      namespace,
      metricName,
      statistic,
      period,
      dimensionsMap: Object.fromEntries(filled) as Record<string, string>,
    });
  };
  if (metric) return one(metric);
  if (expression === undefined) throw new Error(`alarm '${name}' has neither a metric nor an expression`);
  return new MathExpression({
    expression,
    period,
    usingMetrics: Object.fromEntries(metrics.map((each) => [each.id, one(each)])),
  });
}
