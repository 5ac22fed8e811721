/** The templates as they are: a change of them is a change of what runs. UPDATE_SNAPSHOTS=1 takes what is synthesised. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";

import { Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";

import { EVENTS_COLUMNS } from "../lib/catalog.ts";
import { EVERYTHING, make } from "./support.ts";

const folder = new URL("snapshots/", import.meta.url);

/** The columns that the contract adds, which lie before the id. They follow from its file, and are looked at there. */
const typed = EVENTS_COLUMNS.slice(EVENTS_COLUMNS.findIndex(([name]) => name === "schema_version") + 1, -1).map(
  ([Name, Type]) => JSON.stringify({ Name, Type }),
);

/** Without the hashes of assets and versions, which say nothing to a reader, and without typed columns. */
function readable(stack: Stack): string {
  const withoutTyped = (_: string, value: unknown): unknown =>
    Array.isArray(value) ? value.filter((one) => !typed.includes(JSON.stringify(one))) : value;
  const template = JSON.stringify(Template.fromStack(stack).toJSON(), withoutTyped, 1);
  return `${template.replaceAll(/[0-9a-f]{64}/g, "<asset>").replaceAll(/(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}/g, "$1<version>")}\n`;
}

for (const [variant, given] of Object.entries({ default: {}, everything: EVERYTHING })) {
  for (const stack of make(given).app.node.children.filter((child) => Stack.isStack(child))) {
    const name = `${variant}.${stack.stackName}.json`;
    test(`the template ${name} is the one that was looked at`, () => {
      const found = readable(stack);
      const file = new URL(name, folder);
      if (process.env.UPDATE_SNAPSHOTS) {
        mkdirSync(folder, { recursive: true });
        writeFileSync(file, found);
      }
      assert.equal(
        found,
        readFileSync(file, "utf8"),
        "UPDATE_SNAPSHOTS=1 npm test takes the new one; look at the difference",
      );
    });
  }
}
