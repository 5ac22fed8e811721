import assert from "node:assert/strict";
import { test } from "node:test";
import { ALARMS, metricsOf, PLACEHOLDERS } from "../src/alarms.ts";
import { metric } from "../src/metrics.ts";
import { DASHBOARDS, RUNBOOK } from "./files.ts";

/** GitHub's anchor of a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, "")
    .replaceAll(" ", "-");
}

function part(title: string): string {
  const [, text = ""] = RUNBOOK.split(`\n## ${title}\n`);
  return text.split(/\n## /)[0] ?? "";
}

const SECTIONS = new Map(
  part("Alarms")
    .split(/\n### /)
    .slice(1)
    .map((section) => [section.split("\n")[0], section]),
);

test("every alarm reads metrics of the one list, each with one of its sets of dimensions", () => {
  for (const alarm of ALARMS) {
    assert.ok(metricsOf(alarm).length > 0, alarm.name);
    for (const { namespace, name, dimensions } of metricsOf(alarm)) {
      const found = metric(name);
      assert.equal(namespace, found.namespace, alarm.name);
      const sets = found.dimensions.map((set) => set.toSorted().join());
      assert.ok(sets.includes(Object.keys(dimensions).toSorted().join()), `${alarm.name}: ${name}`);
    }
  }
});

test("a dimension's value is a placeholder that is explained, and each of those is used", () => {
  const used = ALARMS.flatMap(metricsOf).flatMap(({ dimensions }) => Object.values(dimensions));
  assert.deepEqual(new Set(used), new Set(Object.keys(PLACEHOLDERS)));
});

test("an alarm is on one metric, or on an expression over all of its metrics", () => {
  for (const { name, metric, expression, metrics } of ALARMS) {
    assert.equal(metric === undefined, expression !== undefined && metrics !== undefined, name);
    const read = new Set(expression?.match(/\b[a-z]\w*/g));
    assert.deepEqual(read, new Set(metrics?.map(({ id }) => id)), name);
  }
});

test("an alarm can go off within what CloudWatch evaluates", () => {
  for (const { name, period_seconds, evaluation_periods, datapoints_to_alarm } of ALARMS) {
    assert.equal(period_seconds % 60, 0, name);
    // A day, or a week for periods of an hour and more (CloudWatch API Reference, PutMetricAlarm, Period).
    assert.ok(period_seconds * evaluation_periods <= (period_seconds < 3600 ? 86_400 : 604_800), name);
    assert.ok(datapoints_to_alarm >= 1 && datapoints_to_alarm <= evaluation_periods, name);
  }
});

test("the runbook has a heading for every alarm, and no heading of an alarm that there is not", () => {
  assert.deepEqual(new Set(SECTIONS.keys()), new Set(ALARMS.map(({ name }) => name)));
});

test("the runbook tells of every alarm what it means, what it harms, how to find the cause and how to fix it", () => {
  for (const [heading, section] of SECTIONS) {
    const parts = [...section.matchAll(/^\*\*(\w+)\.\*\*/gm)].map(([, name]) => name);
    assert.deepEqual(parts, ["Meaning", "Impact", "Diagnosis", "Mitigation"], heading);
  }
});

test("the runbook calls critical what is", () => {
  const [, named = ""] = /Critical ones\s+wake somebody: ([\w,\s]+)\./.exec(part("Alarms")) ?? [];
  assert.deepEqual(
    named.split(/,\s+/),
    ALARMS.filter(({ severity }) => severity === "critical").map(({ name }) => name),
  );
});

test("every link into the runbook points at a heading of it", () => {
  const anchors = [...RUNBOOK.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchor(heading));
  const links = [...JSON.stringify(DASHBOARDS).matchAll(/\$\{runbook\}#([\w-]+)/g)].map(([, link = ""]) => link);
  assert.ok(links.length >= ALARMS.length);
  for (const link of links) {
    assert.ok(anchors.includes(link), link);
  }
});
