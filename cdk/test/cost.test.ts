import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ASSUMED,
  DEPLOYED,
  firehoseItems,
  ingestItems,
  MEASURED,
  processorShare,
  rehearsalItems,
  streamItems,
  total,
  volume,
  yearItems,
} from "../lib/cost.ts";
import { alarmDefinitions } from "../lib/alarms.ts";

const load = (eventsPerSecond: number, eventBytes = 250) => ({ eventsPerSecond, eventBytes });
const dollars = (items: readonly { item: string; dollars: number }[], item: string): number => {
  const found = items.find((each) => each.item.startsWith(item));
  assert(found, item);
  return found.dollars;
};
const about = (found: number, wanted: number): void => {
  assert(Math.abs(found - wanted) < 0.005 * Math.max(1, wanted), `${String(found)} is not about ${String(wanted)}`);
};

test("shards have room for the records, or for the bytes, whichever are more", () => {
  assert.equal(volume(load(10)).shards, 1);
  assert.equal(volume(load(1000)).shards, 2);
  assert.equal(volume(load(50_000)).shards, 72);
  assert.equal(volume(load(100, 100_000)).shards, 14);
});

test("a batch ends at the window, at the batch size, or at Lambda's payload", () => {
  assert.equal(volume(load(10)).eventsPerBatch, 100);
  assert.equal(volume(load(1000)).eventsPerBatch, 5000);
  // 10,000 bytes become 13,333 in base64, and the envelope adds its own.
  assert.equal(volume(load(1000, 10_000)).eventsPerBatch, 453);
});

test("the stream is billed by shard and by record", () => {
  const items = streamItems(load(1000));
  about(dollars(items, "Kinesis, shards"), 2 * 720 * 0.015);
  about(dollars(items, "Kinesis, PUT"), 2592 * 0.014);
  about(dollars(streamItems(load(10, 26_000)), "Kinesis, PUT"), 25.92 * 2 * 0.014);
});

test("a batch is three requests to S3 and one to CloudWatch", () => {
  const { batches } = volume(load(1000));
  assert.equal(batches, 518_400);
  const items = ingestItems(load(1000));
  about(dollars(items, "S3, LIST"), (3 * 518_400 * 0.005) / 1000);
  about(dollars(items, "CloudWatch, PutMetricData"), (518_400 * 0.01) / 1000);
  about(dollars(items, "X-Ray"), 0.5184 * 5);
});

test("X-Ray follows one request a second and five in a hundred of the rest", () => {
  const { batches } = volume(load(50_000));
  about(dollars(ingestItems(load(50_000)), "X-Ray"), ((2_592_000 + 0.05 * (batches - 2_592_000)) * 5) / 1e6);
});

test("Firehose bills a small record as 5 KB, in tiers", () => {
  const gigabytes = (1000 * 2_592_000 * 5120) / 2 ** 30;
  about(dollars(firehoseItems(load(1000)), "Firehose, ingestion"), gigabytes * 0.029);
  about(dollars(firehoseItems(load(1000)), "Firehose, conversion"), gigabytes * 0.018);
  const many = 50 * gigabytes;
  about(dollars(firehoseItems(load(50_000)), "Firehose, ingestion"), 512_000 * 0.029 + (many - 512_000) * 0.025);
  assert.equal(total(firehoseItems(load(10, 5121))), 2 * total(firehoseItems(load(10, 5120))));
});

test("every metric and alarm that is made is billed", () => {
  const items = ingestItems(load(1000));
  assert(DEPLOYED.alarmMetrics > 5 && DEPLOYED.metricsPerStream > 5, "the definitions are read");
  about(dollars(items, "CloudWatch, metrics"), (DEPLOYED.metricsPerStream + 2) * 0.3);
  about(dollars(items, "CloudWatch, alarms"), DEPLOYED.alarmMetrics * 0.1 + 1);
});

test("an alarm on an expression is billed for each metric that it reads", () => {
  const alarms = alarmDefinitions();
  const inExpressions = alarms.flatMap(({ metrics = [] }) => metrics).length;
  assert(inExpressions > 1, "there is one");
  const single = alarms.filter(({ metric }) => metric).length;
  assert.equal(DEPLOYED.alarmMetrics, single + inExpressions);
});

test("work takes longer on a share of a processor, waiting does not", () => {
  assert.equal(processorShare(), 512 / 1769);
  const { batches, eventsPerBatch } = volume(load(1000));
  const work = (MEASURED.processorMsPerEvent * eventsPerBatch) / 1000;
  const seconds = ASSUMED.waitMsPerBatch / 1000 + work * (1769 / 512);
  about(dollars(ingestItems(load(1000)), "Lambda, compute"), batches * seconds * 0.5 * 0.0000133334);
});

test("a year without a table pays for all of it each night, with one for the night's own and for the tags", () => {
  const [without, withTable] = [yearItems(load(1000), false), yearItems(load(1000), true)];
  assert.deepEqual(
    without.map(({ item }) => item),
    withTable.map(({ item }) => item),
  );
  const gigabytes = (86.4e6 * (273_000 / 9894)) / 2 ** 30;
  about(dollars(without, "S3, objects"), ((gigabytes * 66_795) / 30) * 0.023);
  about(dollars(withTable, "S3, objects"), ((gigabytes * (30 * 365 - 435)) / 30) * 0.023);
  about(dollars(withTable, "S3, table"), ((0.7 * gigabytes * 66_795) / 30) * 0.023);
  about(dollars(withTable, "S3, requests that tag"), 2 * 17_280 * 365 * 0.000005);
  about(dollars(without, "S3, requests that read"), 17_280 * 66_795 * 7 * 4e-7);
  about(dollars(without, "EMR Serverless, report"), ((86.4e6 * 66_795 * 8e-6) / 3600) * (0.052624 + 4 * 0.0057785));
  about(dollars(without, "EMR Serverless, report") / dollars(withTable, "EMR Serverless, report"), 183);
  for (const item of ["S3, table", "S3, requests that tag", "S3, tags", "EMR Serverless, compaction"]) {
    assert.equal(dollars(without, item), 0, item);
  }
  assert(total(withTable) < total(without) / 5);
});

test("a rehearsal's bound holds for the whole of what it starts", () => {
  const items = rehearsalItems();
  about(dollars(items, "EMR Serverless"), 9 * (16 * 0.052624 + 64 * 0.0057785));
  about(dollars(items, "Kinesis"), 4 * 5 * 0.015);
  assert(total(items) < 25, "nobody has to think about it for long");
});
