/** The alarms of grafana/alarms.json, the one definition that dashboards and CloudWatch share. */
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

import { ALARMS, type Alarm as AlarmDefinition, type AlarmMetric } from "../../grafana/src/alarms.ts";
import { topicName } from "./names.ts";
import { SettingsError, type Settings } from "./settings.ts";

/** What the placeholders stand for in one deployment. */
export type Placeholders = Readonly<Record<string, string>>;

/** Every alarm of the file but those `leftOut`. Throws SettingsError when one of those is not in it. */
export function alarmDefinitions(leftOut: readonly string[] = []): AlarmDefinition[] {
  for (const name of leftOut) {
    if (!ALARMS.some((alarm) => alarm.name === name)) {
      throw new SettingsError(`alarmsLeftOut names '${name}', which is not in grafana/alarms.json`);
    }
  }
  return ALARMS.filter(({ name }) => !leftOut.includes(name));
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
  const one = ({ namespace, name: metricName, statistic, dimensions }: AlarmMetric): Metric => {
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
