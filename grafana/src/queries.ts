/** CloudWatch queries, written exactly as Grafana's own query editor saves them. */
import {
  MetricEditorMode,
  MetricQueryType,
  MetricsQueryBuilder,
  QueryMode,
} from "@grafana/grafana-foundation-sdk/cloudwatch";
import { dimensionsOf, metric } from "./metrics.ts";

/** The data source of every query: the first CloudWatch one, unless another is chosen on the dashboard. */
export const DATASOURCE = { type: "cloudwatch", uid: "${datasource}" };

/** A metric with a statistic, or arithmetic over the ids of the panel's other queries. */
export interface Query {
  /** Name of the series. */
  label: string;
  /** How expressions refer to it. */
  id?: string;
  /** Only read by expressions, not drawn. */
  hidden?: boolean;
  metric?: string;
  statistic?: string;
  /** One series for each value of this dimension, which then names it. */
  by?: string;
  /** `+ - * /` and numbers over ids: what every reader of the dashboards can compute. */
  expression?: string;
  /** Seconds; by default Grafana chooses, at least 60, by the time range. */
  period?: number;
}

/** The sum of a metric over each period. */
export function sum(name: string, label: string, more: Partial<Query> = {}): Query {
  return { metric: name, statistic: "Sum", label, ...more };
}

/** Another statistic: Average, Maximum, p99 and so on. */
export function statistic(name: string, statistic: string, label: string, more: Partial<Query> = {}): Query {
  return { metric: name, statistic, label, ...more };
}

/** Arithmetic over the ids of other queries. A point exists where all of them have one. */
export function math(expression: string, label: string, more: Partial<Query> = {}): Query {
  return { expression, label, ...more };
}

/** The query as a panel's target. */
export function target(query: Query, refId: string): MetricsQueryBuilder {
  const built = new MetricsQueryBuilder()
    .refId(refId)
    .datasource(DATASOURCE)
    .queryMode(QueryMode.Metrics)
    .metricQueryType(MetricQueryType.Search)
    .region("default")
    .id(query.id ?? "")
    .label(query.by === undefined ? query.label : `\${PROP('Dim.${query.by}')}`)
    .period(query.period === undefined ? "" : String(query.period))
    .matchExact(true)
    .sqlExpression("")
    .hide(query.hidden ?? false);
  if (query.metric === undefined) {
    return built
      .metricEditorMode(MetricEditorMode.Code)
      .expression(query.expression ?? "")
      .namespace("")
      .metricName("")
      .dimensions({})
      .statistic("Average");
  }
  const found = metric(query.metric);
  return built
    .metricEditorMode(MetricEditorMode.Builder)
    .expression("")
    .namespace(found.namespace)
    .metricName(found.name)
    .dimensions(dimensionsOf(found, query.by))
    .statistic(query.statistic ?? "Sum");
}
