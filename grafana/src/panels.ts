/** The three kinds of panels, with one look each. */
import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphDrawStyle,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
} from "@grafana/grafana-foundation-sdk/common";
import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as text from "@grafana/grafana-foundation-sdk/text";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";
import { type Alarm, alarm, condition, runbook } from "./alarms.ts";
import { DATASOURCE, type Query, target } from "./queries.ts";

/** Grafana's names of the units. */
export type Unit = "short" | "ms" | "decbytes" | "percent" | "percentunit" | "currencyUSD";

interface Common {
  title: string;
  description: string;
  unit: Unit;
  /** Columns of 24. */
  width: number;
  queries: Query[];
  /** Alarms whose metrics the panel shows; it links to their headings in the runbook, and draws the first one's threshold. */
  alarms?: string[];
}

/** A graph over time. */
export interface Graph extends Common {
  /** Bars upon each other instead of lines; the named series stay lines. */
  stacked?: { lines: string[] };
  /** For a graph of many series: the legend scrolls beside it instead of taking its height. */
  legendRight?: boolean;
}

/** One number a series, of the whole time range. */
export interface Stat extends Common {
  /** How the series becomes a number. */
  reduce: "sum" | "lastNotNull" | "max";
}

function thresholds(first: Alarm | undefined): dashboard.ThresholdsConfigBuilder {
  const steps: dashboard.Threshold[] = [{ value: null, color: "green" }];
  if (first?.comparison.startsWith("GreaterThan")) {
    // Grafana's steps begin at their value, so that "over 0" of what is counted begins at 1.
    const overNothing = first.comparison === "GreaterThanThreshold" && first.threshold === 0;
    steps.push({ value: overNothing && first.unit === "Count" ? 1 : first.threshold, color: "red" });
  }
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(steps);
}

function links(alarms: Alarm[]): dashboard.DashboardLinkBuilder[] {
  return alarms.map((each) =>
    new dashboard.DashboardLinkBuilder(each.name)
      .type(dashboard.DashboardLinkType.Link)
      .url(runbook(each))
      .targetBlank(true),
  );
}

function describe(description: string, alarms: Alarm[]): string {
  return [description, ...alarms.map((each) => `Alarm ${each.name}: ${condition(each)}.`)].join("\n\n");
}

function targets(queries: Query[]) {
  return queries.map((query, at) => target(query, String.fromCharCode("A".charCodeAt(0) + at)));
}

/** A graph. */
export function graph(of: Graph): timeseries.PanelBuilder {
  const alarms = (of.alarms ?? []).map(alarm);
  const first = alarms[0];
  const drawn = first !== undefined && first.threshold > 0 && first.comparison.startsWith("GreaterThan");
  const counts = of.queries.every(({ statistic, hidden }) => hidden === true || statistic === "Sum");
  const panel = new timeseries.PanelBuilder()
    .title(of.title)
    .description(describe(of.description, alarms))
    .datasource(DATASOURCE)
    .span(of.width)
    .height(8)
    .targets(targets(of.queries))
    .unit(of.unit)
    .min(0)
    .links(links(alarms))
    .thresholds(thresholds(first))
    .thresholdsStyle(
      new common.GraphThresholdsStyleConfigBuilder().mode(
        drawn ? GraphThresholdsStyleMode.Line : GraphThresholdsStyleMode.Off,
      ),
    )
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.PaletteClassic))
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.Table)
        .placement(of.legendRight ? common.LegendPlacement.Right : common.LegendPlacement.Bottom)
        .showLegend(true)
        .calcs(counts ? ["lastNotNull", "max", "sum"] : ["lastNotNull", "max"])
        .sortBy("Max")
        .sortDesc(true),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
    .lineWidth(1)
    .fillOpacity(of.stacked ? 60 : 10)
    .showPoints(common.VisibilityMode.Auto)
    .drawStyle(of.stacked ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .stacking(
      new common.StackingConfigBuilder()
        .mode(of.stacked ? common.StackingMode.Normal : common.StackingMode.None)
        .group("A"),
    );
  for (const name of of.stacked?.lines ?? []) {
    panel.overrideByName(name, [
      { id: "custom.drawStyle", value: GraphDrawStyle.Line },
      { id: "custom.stacking", value: { mode: common.StackingMode.None, group: "A" } },
      { id: "custom.fillOpacity", value: 0 },
      { id: "custom.lineWidth", value: 2 },
    ]);
  }
  return panel;
}

/** One number, or one for each of its series. */
export function number(of: Stat): stat.PanelBuilder {
  const alarms = (of.alarms ?? []).map(alarm);
  return new stat.PanelBuilder()
    .title(of.title)
    .description(describe(of.description, alarms))
    .datasource(DATASOURCE)
    .span(of.width)
    .height(4)
    .targets(targets(of.queries))
    .unit(of.unit)
    .links(links(alarms))
    .thresholds(thresholds(alarms[0]))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds))
    .colorMode(alarms.length > 0 ? BigValueColorMode.Background : BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .textMode(
      of.queries.filter(({ hidden }) => hidden !== true).length > 1
        ? common.BigValueTextMode.ValueAndName
        : common.BigValueTextMode.Value,
    )
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs([of.reduce]).values(false).fields(""));
}

/** Markdown over the whole width. */
export function markdown(title: string, content: string, height: number): text.PanelBuilder {
  return new text.PanelBuilder().title(title).span(24).height(height).mode(text.TextMode.Markdown).content(content);
}
