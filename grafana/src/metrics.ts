/** The one list of metrics (functions/events/schema/metrics.json), and the only way to a metric's namespace and dimensions. */
import { readFileSync } from "node:fs";

/** Who publishes a metric; `aws_only` ones have no data on the local stack. */
export type Publisher = "function" | "producer" | "aws" | "aws_only";

/** What is known of a metric; `functions/events/src/metrics.rs` explains the fields. */
export interface Metric {
  namespace: string;
  name: string;
  unit: "Count" | "Bytes" | "Milliseconds";
  dimensions: string[][];
  publisher: Publisher;
  meaning: string;
}

/** Every metric that is published or watched. */
export const METRICS = JSON.parse(
  readFileSync(new URL("../../functions/events/schema/metrics.json", import.meta.url), "utf8"),
) as Metric[];

/** The metric of that name. Throws if there is none: a dashboard with a misspelt name is never written. */
export function metric(name: string): Metric {
  const found = METRICS.find((each) => each.name === name);
  if (!found) {
    throw new Error(`metric '${name}' is not in functions/events/schema/metrics.json`);
  }
  return found;
}

/** The template variable, or the search, that stands for a dimension on the dashboards. */
const DIMENSION_VALUES: Record<string, string> = {
  Stream: "$stream",
  StreamName: "$stream",
  Shard: "$shard",
  Reason: "*",
  FunctionName: "$function",
  EventSourceMappingUUID: "$mapping",
  StateMachineArn: "$machine",
};

/**
 * The dimensions under which a query finds the metric: the set with `dimension`, or else its first one. Throws if the
 * metric is not published under such a set.
 */
export function dimensionsOf({ name, dimensions }: Metric, dimension?: string): Record<string, string> {
  const set = dimensions.find((names) => dimension === undefined || names.includes(dimension));
  if (!set) {
    throw new Error(`metric '${name}' has no dimension '${dimension ?? ""}' in functions/events/schema/metrics.json`);
  }
  return Object.fromEntries(
    set.map((each) => {
      const value = DIMENSION_VALUES[each];
      if (value === undefined) {
        throw new Error(`dimension '${each}' of metric '${name}' has no template variable in grafana/src/metrics.ts`);
      }
      return [each, value];
    }),
  );
}
