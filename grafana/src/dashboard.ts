/** What both dashboards have in common: variables, time, links, and panels that are numbered in order. */
import * as sdk from "@grafana/grafana-foundation-sdk/dashboard";
import { type Metric, metric } from "./metrics.ts";
import { DATASOURCE } from "./queries.ts";

/** A panel that is not built yet. */
export interface Panel {
  id(id: number): unknown;
  build(): sdk.Panel;
}

/** A row with its panels. */
export interface Row {
  title: string;
  panels: Panel[];
}

function values(name: string, label: string, of: Metric, dimension: string, filters: Record<string, string[]> = {}) {
  return new sdk.QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({
      queryType: "dimensionValues",
      region: "default",
      namespace: of.namespace,
      metricName: of.name,
      dimensionKey: dimension,
      dimensionFilters: filters,
      refId: "CloudWatchVariableQueryEditor-VariableQuery",
    })
    .refresh(sdk.VariableRefresh.OnDashboardLoad)
    .sort(sdk.VariableSort.AlphabeticalAsc);
}

const shown = (value: string) => ({ selected: true, text: value, value });

/** The template variables by name; the preset values are those of the local stack. */
const VARIABLES = {
  datasource: () => new sdk.DatasourceVariableBuilder("datasource").label("data source").type("cloudwatch"),
  stream: () => values("stream", "stream", metric("RecordsReceived"), "Stream").current(shown("tributary-events")),
  shard: () =>
    values("shard", "shard", metric("Lag"), "Shard", { Stream: ["$stream"] })
      .multi(true)
      .includeAll(true)
      // One search finds all shards; their names, joined by OR, would outgrow it.
      .allValue("*")
      .current({ selected: true, text: "All", value: "$__all" }),
  function: () =>
    values("function", "function", metric("Invocations"), "FunctionName").current(shown("ingest-kinesis")),
  mapping: () => values("mapping", "event source mapping", metric("InvokedEventCount"), "EventSourceMappingUUID"),
  machine: () => values("machine", "nightly run", metric("ExecutionsSucceeded"), "StateMachineArn"),
  runbook: () => new sdk.TextBoxVariableBuilder("runbook").label("address of the runbook").defaultValue("RUNBOOK.md"),
};

/** A dashboard. Panel ids count from 1 in the order given. */
export function dashboard(
  uid: string,
  title: string,
  description: string,
  variables: (keyof typeof VARIABLES)[],
  rows: Row[],
): sdk.Dashboard {
  const built = new sdk.DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags(["tributary"])
    .timezone("browser")
    .tooltip(sdk.DashboardCursorSync.Crosshair)
    .time({ from: "now-15m", to: "now" })
    // CloudWatch bills each metric of each refresh, and has new values once a minute.
    .refresh("1m")
    .timepicker(new sdk.TimePickerBuilder().refreshIntervals(["5s", "10s", "30s", "1m", "5m"]))
    .link(
      new sdk.DashboardLinkBuilder("Tributary")
        .type(sdk.DashboardLinkType.Dashboards)
        .tags(["tributary"])
        .includeVars(true)
        .keepTime(true),
    );
  for (const name of variables) {
    built.withVariable(VARIABLES[name]());
  }
  let id = 0;
  for (const row of rows) {
    built.withRow(new sdk.RowBuilder(row.title).id(++id));
    for (const panel of row.panels) {
      panel.id(++id);
      built.withPanel(panel);
    }
  }
  const { links, ...rest } = built.build();
  return { ...rest, links: links?.map(whereItShows) ?? [] };
}

/** The SDK's default hides links in the controls menu that Grafana 12.3 brought. */
function whereItShows({ placement, ...link }: sdk.DashboardLink): sdk.DashboardLink {
  return link;
}
