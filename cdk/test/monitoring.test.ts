import assert from "node:assert/strict";
import { test } from "node:test";

import { Template } from "aws-cdk-lib/assertions";

import { alarmDefinitions, makeAlarm } from "../lib/alarms.ts";
import { KAFKA, make, only, resources, stacksOf, text } from "./support.ts";

const alarms = (given: Record<string, unknown> = {}) =>
  new Map(
    stacksOf(make(given))
      .flatMap((stack) => Object.values(resources(stack)))
      .filter(({ Type }) => Type === "AWS::CloudWatch::Alarm")
      .map(({ Properties }) => [String(Properties.AlarmName), Properties]),
  );

/** Names of the alarms of these sources. */
const named = (...sources: string[]): string[] =>
  alarmDefinitions()
    .filter(({ source }) => sources.includes(source))
    .map(({ name }) => `tributary-${name}`);
const ofTopic = named("any", "kafka").map((name) => `${name}-kafka`);

test("each mapping and the nightly run have their alarms, and each tells the topic of its coming and going", () => {
  const made = alarms();
  assert.deepEqual([...made.keys()].sort(), named("any", "kinesis", "nightly").sort());
  for (const [name, { AlarmActions, OKActions }] of made) {
    assert.match(text(AlarmActions), /:sns:<Region>:<AccountId>:tributary-alarms$/, name);
    assert.deepEqual(OKActions, AlarmActions, name);
  }
  const both = [...alarms({ kafka: KAFKA }).keys()].sort();
  assert.deepEqual(both, [...named("any", "kinesis", "nightly"), ...ofTopic].sort());
  const topicAlone = [...alarms({ kafka: KAFKA, stream: false }).keys()].sort();
  assert.deepEqual(topicAlone, [...named("nightly"), ...ofTopic].sort());
});

test("the alarms of a topic look at its own function, mapping and metrics", () => {
  const made = alarms({ kafka: { ...KAFKA, topic: "orders" } });
  const dimensions = (name: string): string => text(JSON.stringify(made.get(`tributary-${name}-kafka`)?.Dimensions));
  assert.match(dimensions("FunctionErrors"), /KafkaIngestFunction/);
  assert.match(dimensions("OffsetLagHigh"), /KafkaIngestFunction/);
  assert.match(dimensions("BatchesGivenUp"), /KafkaMapping/);
  assert.match(dimensions("NoData"), /orders/);
});

test("an alarm is what its definition says, with names in place of placeholders", () => {
  const made = alarms({ kafka: KAFKA });
  for (const definition of alarmDefinitions()) {
    const alarm = made.get(`tributary-${definition.name}${definition.source === "kafka" ? "-kafka" : ""}`);
    assert(alarm);
    assert.equal(alarm.Threshold, definition.threshold);
    assert.equal(alarm.ComparisonOperator, definition.comparison);
    assert.equal(alarm.EvaluationPeriods, definition.evaluation_periods);
    assert.equal(alarm.DatapointsToAlarm, definition.datapoints_to_alarm);
    assert.equal(alarm.TreatMissingData, definition.treat_missing_data);
    assert(!JSON.stringify(alarm).includes('"$'), definition.name);
    if (definition.metric) {
      assert.equal(alarm.MetricName, definition.metric.name);
      assert.equal(alarm.Statistic, definition.metric.statistic);
      assert.equal(alarm.Period, definition.period_seconds);
    } else {
      const [expression, ...metrics] = alarm.Metrics as { Expression?: string; MetricStat?: { Period: number } }[];
      assert.equal(expression?.Expression, definition.expression);
      assert.deepEqual(
        metrics.map(({ MetricStat }) => MetricStat?.Period),
        definition.metrics?.map(() => definition.period_seconds),
      );
    }
  }
});

test("alarms can be left out by name, and a name that is none is refused", () => {
  const kept = alarms({ alarmsLeftOut: ["NoData"] });
  assert(!kept.has("tributary-NoData"));
  assert.equal(kept.size, named("any", "kinesis", "nightly").length - 1);
  assert.throws(() => make({ alarmsLeftOut: ["Nothing"] }), /alarmsLeftOut names 'Nothing', which is not in/);
});

test("without a nightly run there is no alarm about it", () => {
  assert.deepEqual([...alarms({ query: false }).keys()].sort(), named("any", "kinesis").sort());
});

test("an alarm never waits for a sum that fills gaps with 0, which makes a late count look like none", () => {
  for (const { name, expression = "" } of alarmDefinitions()) assert.doesNotMatch(expression, /FILL/, name);
});

test("a placeholder that nobody fills stops the deployment", () => {
  const [definition] = alarmDefinitions();
  assert(definition);
  assert.throws(() => makeAlarm(make().monitoring, definition, "x", {}), /'\$\w+' is none of/);
});

test("the topic is encrypted with a key that alarms may use, and refuses what is not TLS", () => {
  const { monitoring } = make();
  assert.match(text(only(monitoring, "AWS::SNS::Topic").KmsMasterKeyId), /^<TopicKey.+Arn>$/);
  const key = JSON.stringify(only(monitoring, "AWS::KMS::Key").KeyPolicy);
  assert.match(key, /"Action":\["kms:Decrypt","kms:GenerateDataKey"\].*"Service":"cloudwatch.amazonaws.com"/);
  const policy = JSON.stringify(only(monitoring, "AWS::SNS::TopicPolicy"));
  assert.match(policy, /"aws:SecureTransport":"false"/);
  assert.match(policy, /"aws:SourceAccount"/);
});

test("nobody is written to unless an address is given, and there is no workspace unless it is asked for", () => {
  const plain = Template.fromStack(make().monitoring);
  plain.resourceCountIs("AWS::SNS::Subscription", 0);
  plain.resourceCountIs("AWS::Grafana::Workspace", 0);
  const full = Template.fromStack(make({ alarmEmail: "on-call@example.com", managedGrafana: true }).monitoring);
  full.hasResourceProperties("AWS::SNS::Subscription", { Protocol: "email", Endpoint: "on-call@example.com" });
  full.hasResourceProperties("AWS::Grafana::Workspace", { PermissionType: "CUSTOMER_MANAGED" });
});
