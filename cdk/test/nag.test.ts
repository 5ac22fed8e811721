import assert from "node:assert/strict";
import { test } from "node:test";

import { Stack } from "aws-cdk-lib";
import { Bucket } from "aws-cdk-lib/aws-s3";
import { AwsSolutionsChecks } from "cdk-nag";

import { ACCEPTED, acknowledge, type Accepted } from "../lib/nag.ts";
import { EVERYTHING, make, MSK, type Made } from "./support.ts";

const findings = ({ app }: Made): string[] =>
  new AwsSolutionsChecks(app)
    .validateScope(app)
    .violations.flatMap(({ ruleName, violatingResources }) =>
      violatingResources.map(({ constructPath }) => `${constructPath ?? ""}: ${ruleName}`),
    );

test("cdk-nag has nothing to say but what is accepted with a reason, and no reason is given in vain", () => {
  const needed = new Set<Accepted>();
  for (const given of [{}, EVERYTHING, { ...EVERYTHING, name: "second", kmsKey: "none", kafka: MSK }]) {
    const made = make(given);
    for (const accepted of acknowledge(made.app, made.settings.name)) needed.add(accepted);
    assert.deepEqual(findings(made), []);
  }
  assert.deepEqual(
    ACCEPTED.filter((accepted) => !needed.has(accepted)),
    [],
  );
});

test("what is not accepted stays a finding", () => {
  const made = make();
  new Bucket(new Stack(made.app, "tributary-other"), "Open");
  acknowledge(made.app, "tributary");
  assert(findings(made).some((finding) => finding.startsWith("tributary-other/Open/Resource: AwsSolutions-S10")));
});
