import assert from "node:assert/strict";
import { test } from "node:test";
import { ALARMS, alarm, metricsOf } from "../src/alarms.ts";
import { generated } from "../src/generate.ts";
import { dimensionsOf, metric } from "../src/metrics.ts";
import { COMMITTED, DASHBOARDS, PANELS, type Panel, type Target } from "./files.ts";

const AWS_ONLY_ROW = "On AWS only";

function metricTargets(panel: Panel): Target[] {
  return (panel.targets ?? []).filter(({ metricName }) => metricName !== "");
}

function rowsOf(panels: Panel[]): Map<string, Panel[]> {
  const rows = new Map<string, Panel[]>();
  let row: Panel[] = [];
  for (const panel of panels) {
    if (panel.type === "row") {
      rows.set(panel.title, (row = []));
    } else {
      row.push(panel);
    }
  }
  return rows;
}

test("the committed dashboards are what is generated, each time", () => {
  assert.deepEqual(generated(), COMMITTED);
  assert.deepEqual(generated(), generated());
});

test("every query names a metric of the one list, in its namespace, with one of its sets of dimensions", () => {
  for (const panel of PANELS) {
    for (const { namespace, metricName, dimensions } of metricTargets(panel)) {
      const found = metric(metricName);
      assert.equal(namespace, found.namespace, panel.title);
      const sets = found.dimensions.map((set) => set.toSorted().join());
      assert.ok(sets.includes(Object.keys(dimensions).toSorted().join()), `${panel.title}: ${metricName}`);
    }
  }
});

test("a metric or a dimension that is not in the one list ends the generation", () => {
  assert.throws(() => metric("RowsWriten"), /metric 'RowsWriten' is not in/);
  assert.throws(() => dimensionsOf(metric("RowsWritten"), "Shard"), /'RowsWritten' has no dimension 'Shard'/);
});

test("every template variable that a dashboard reads is one of its own", () => {
  for (const { name, panels, templating } of DASHBOARDS) {
    const own = templating.list.map((variable) => variable.name);
    for (const [, variable = ""] of JSON.stringify(panels).matchAll(/\$\{?(\w+)(?=[}"#])/g)) {
      assert.ok(own.includes(variable), `${name}: ${variable}`);
    }
  }
});

test("an expression is plain arithmetic over ids of its own panel, which are unique", () => {
  for (const { title, targets = [] } of PANELS) {
    const ids = targets.map(({ id }) => id).filter((id) => id !== "");
    assert.equal(new Set(ids).size, ids.length, title);
    for (const { expression } of targets.filter(({ metricName }) => metricName === "")) {
      assert.match(expression, /^[a-z0-9_+\-*/(). ]+$/, title);
      for (const [name] of expression.matchAll(/[a-z]\w*/g)) {
        assert.ok(ids.includes(name), `${title}: ${name}`);
      }
    }
  }
});

test("the row of what is on AWS only holds every panel of such metrics, and no other metric", () => {
  for (const { name, panels } of DASHBOARDS) {
    for (const [row, members] of rowsOf(panels)) {
      for (const target of members.flatMap(metricTargets)) {
        const only = metric(target.metricName).publisher === "aws_only";
        assert.equal(only, row === AWS_ONLY_ROW, `${name}, row ${row}: ${target.metricName}`);
      }
    }
  }
});

test("a panel that links to an alarm shows the metrics of that alarm", () => {
  for (const panel of PANELS) {
    for (const { url } of panel.links ?? []) {
      const linked = ALARMS.find(({ name }) => url.endsWith(`#${name.toLowerCase()}`));
      assert.ok(linked, `${panel.title}: ${url}`);
      for (const { name } of metricsOf(linked)) {
        assert.ok(
          metricTargets(panel).some(({ metricName }) => metricName === name),
          `${panel.title}: ${name}`,
        );
      }
    }
  }
});

test("a threshold that is drawn is that of an alarm on exactly the statistic that is drawn", () => {
  const drawn = PANELS.filter((panel) => panel.fieldConfig?.defaults.custom?.thresholdsStyle.mode === "line");
  assert.ok(drawn.length > 0);
  for (const panel of drawn) {
    const heading = panel.links?.[0]?.url.split("#")[1];
    const { name } = ALARMS.find((each) => each.name.toLowerCase() === heading) ?? { name: "" };
    const steps = panel.fieldConfig?.defaults.thresholds.steps.map(({ value }) => value);
    assert.deepEqual(steps, [null, alarm(name).threshold], panel.title);
    for (const of of metricsOf(alarm(name))) {
      assert.ok(
        metricTargets(panel).some((each) => each.metricName === of.name && each.statistic === of.statistic),
        `${panel.title}: ${of.name}`,
      );
    }
  }
});

test("no number is red at 0", () => {
  for (const { title, fieldConfig } of PANELS.filter(({ type }) => type === "stat")) {
    const values = fieldConfig?.defaults.thresholds.steps.map(({ value }) => value) ?? [];
    assert.ok(
      values.every((value) => value === null || value > 0),
      title,
    );
  }
});

test("every alarm is shown by a panel", () => {
  const urls = PANELS.flatMap(({ links }) => links ?? []).map(({ url }) => url);
  for (const { name } of ALARMS) {
    assert.ok(
      urls.some((url) => url.endsWith(`#${name.toLowerCase()}`)),
      name,
    );
  }
});

test("panels fill the grid's lines without overlapping", () => {
  for (const { name, panels } of DASHBOARDS) {
    const taken = new Set<string>();
    for (const { title, gridPos } of panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, `${name}: ${title}`);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(!taken.has(`${String(x)},${String(y)}`), `${name}: ${title}`);
          taken.add(`${String(x)},${String(y)}`);
        }
      }
    }
  }
});
