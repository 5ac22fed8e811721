import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { KNOBS, readSettings, settingsOfContext, SettingsError } from "../lib/settings.ts";
import { KAFKA, MSK, MSK_IAM } from "./support.ts";

function complaint(given: Record<string, unknown>): string {
  try {
    readSettings(given);
  } catch (error) {
    assert(error instanceof SettingsError);
    assert(!error.message.includes("\n"), "one line");
    return error.message;
  }
  return assert.fail("accepted");
}

test("without any setting there are the defaults", () => {
  const settings = readSettings({});
  assert.equal(settings.architecture, "arm64");
  assert.equal(settings.keepData, true);
  assert.equal(settings.kafka, undefined);
});

test("every default keeps its own rule", () => {
  for (const [name, knob] of Object.entries(KNOBS)) {
    if (knob.default !== undefined) assert.deepEqual(knob.read(knob.default), knob.default, name);
  }
});

test("a setting that breaks its rule is named with its value and the rule", () => {
  assert.equal(complaint({ shards: 20_000 }), "shards is 20000, must be a whole number from 0 to 10000");
  assert.equal(complaint({ shards: "many" }), 'shards is "many", must be a whole number from 0 to 10000');
  assert.equal(complaint({ memoryMb: 512.5 }), "memoryMb is 512.5, must be a whole number from 128 to 10240");
  assert.equal(complaint({ retryAttempts: -2 }), "retryAttempts is -2, must be -1, or a whole number from 0 to 10000");
  assert.equal(complaint({ architecture: "riscv" }), 'architecture is "riscv", must be arm64 or x86_64');
  assert.equal(
    complaint({ reportRelease: "emr-7.9.0" }),
    'reportRelease is "emr-7.9.0", must be an EMR 7 release from emr-7.10.0 on',
  );
  assert.equal(complaint({ keepData: "no" }), 'keepData is "no", must be true or false');
  assert.equal(
    complaint({ name: "Tributary" }),
    'name is "Tributary", must be 2 to 20 lower-case letters, digits and hyphens, a letter first',
  );
  assert.equal(complaint({ kmsKey: "mine" }), 'kmsKey is "mine", must be none, create, or the ARN of a KMS key');
  assert.equal(complaint({ alarmEmail: "me" }), 'alarmEmail is "me", must be empty, or an e-mail address');
  assert.equal(complaint({ tags: { team: 7 } }), 'tags is {"team":7}, must be an object of text values');
  assert.equal(complaint({ githubRepository: "name" }), 'githubRepository is "name", must be empty, or owner/name');
  assert.match(complaint({ logDays: 31 }), /^logDays is 31, must be a period that CloudWatch Logs knows/);
  assert.match(complaint({ kafka: { topic: "events" } }), /^kafka is .* must be an object with topic, consumerGroup/);
});

test("a name that is no setting is refused", () => {
  assert.equal(complaint({ shard: 4 }), "setting 'shard' does not exist; cdk/README.md lists those that do");
});

test("a batch is given up before the stream loses it", () => {
  assert.match(complaint({ maximumRecordAgeSeconds: 86_400 }), /must be below retentionHours \(24 h\)/);
  assert.equal(readSettings({ maximumRecordAgeSeconds: 86_400, retentionHours: 48 }).maximumRecordAgeSeconds, 86_400);
  assert.equal(readSettings({ maximumRecordAgeSeconds: -1 }).maximumRecordAgeSeconds, -1);
});

test("nothing expires that a redelivery still needs, and 0 days are never", () => {
  assert.equal(
    complaint({ expireDays: 1 }),
    "expireDays is 1, must be at least 2 (retentionHours and horizonMinutes): ids that a redelivery needs would be gone",
  );
  assert.match(complaint({ retentionHours: 8760 }), /^expireDays is 30, must be at least 366 /);
  assert.match(complaint({ expireDays: 8, retentionHours: 168, horizonMinutes: 1441 }), /^horizonMinutes is 1441/);
  assert.match(complaint({ expireDays: 7, retentionHours: 168, horizonMinutes: 1 }), /must be at least 8 /);
  assert.equal(readSettings({ expireDays: 7, retentionHours: 168, horizonMinutes: 0 }).expireDays, 7);
  assert.equal(readSettings({ expireDays: 0, retentionHours: 8760 }).expireDays, 0);
});

test("the alias of a key is refused, since permissions need the key", () => {
  assert.match(complaint({ kmsKey: "arn:aws:kms:eu-west-1:123456789012:alias/data" }), /not of an alias/);
});

test("a Kafka cluster is MSK's or one's own, not both and not neither", () => {
  assert.equal(readSettings({ kafka: KAFKA }).kafka?.maximumPollers, 10);
  assert.equal(readSettings({ kafka: MSK }).kafka?.clusterArn, MSK.clusterArn);
  complaint({ kafka: { ...KAFKA, ...MSK } });
  complaint({ kafka: { ...KAFKA, bootstrapServers: [] } });
  complaint({ kafka: { ...MSK, clusterArn: "" } });
  complaint({ kafka: { ...MSK, minimumPollers: 3, maximumPollers: 2 } });
});

test("a topic is read with a secret, whose key is named on MSK; or with IAM, which is MSK's, and without one", () => {
  assert.equal(readSettings({ kafka: MSK_IAM }).kafka?.authentication, "IAM");
  complaint({ kafka: { ...MSK_IAM, secretArn: MSK.secretArn } });
  complaint({ kafka: { ...KAFKA, authentication: "IAM" } });
  complaint({ kafka: { ...KAFKA, secretArn: undefined } });
  complaint({ kafka: { ...MSK, secretKeyArn: undefined } });
  complaint({ kafka: { ...MSK, secretKeyArn: "arn:aws:kms:eu-west-1:123456789012:alias/events" } });
});

test("a topic's function answers as on the local stack unless told otherwise", () => {
  assert.equal(readSettings({ kafka: KAFKA }).kafka?.partialResponses, "partition");
  complaint({ kafka: { ...KAFKA, partialResponses: "on" } });
});

test("there is something to read from", () => {
  assert.equal(complaint({ stream: false }), "stream is false, must be true unless there is a kafka to read from");
  assert.equal(readSettings({ stream: false, kafka: KAFKA }).stream, false);
});

test("settings come from the object in cdk.json, and the command line overrides them", () => {
  const context = {
    tributary: { shards: 2, memoryMb: 256 },
    "tributary:shards": "8",
    "aws:cdk:bundling-stacks": ["**"],
  };
  const settings = settingsOfContext(context);
  assert.deepEqual([settings.shards, settings.memoryMb], [8, 256]);
  assert.deepEqual(settingsOfContext({ "tributary:tags": '{"team":"data"}' }).tags, { team: "data" });
  assert.throws(() => settingsOfContext({ tributary: 4 }), /must be an object/);
});

test("the README lists every setting with its default and its rule", () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  for (const [name, { default: value, meaning }] of Object.entries(KNOBS)) {
    const shown =
      value === "" || value === undefined
        ? ""
        : `\`${typeof value === "object" ? JSON.stringify(value) : String(value)}\``;
    assert(readme.includes(`| \`${name}\` | ${shown} | ${meaning} |`), `| \`${name}\` | ${shown} | ${meaning} |`);
  }
});
