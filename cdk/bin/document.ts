/** Writes COST.md and the README's table of settings; with --check, says whether they are as they would be written. */
import { readFileSync, writeFileSync } from "node:fs";

import { costPage, withSettings } from "../lib/document.ts";

const check = process.argv.includes("--check");

function document(name: string, made: (before: string) => string): void {
  const file = new URL(`../${name}`, import.meta.url);
  let before = "";
  try {
    before = readFileSync(file, "utf8");
  } catch {
    // It is made now.
  }
  const after = made(before);
  if (after === before) return;
  if (check) {
    console.error(`cdk/${name} is not what make document writes`);
    process.exitCode = 1;
  } else {
    writeFileSync(file, after);
    console.log(`cdk/${name}`);
  }
}

document("COST.md", costPage);
document("README.md", withSettings);
