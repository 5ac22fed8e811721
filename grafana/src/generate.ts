/** Writes dashboards/*.json. With --check it writes nothing, and fails if a file is not what would be written. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { lake } from "./lake.ts";
import { pipeline } from "./pipeline.ts";

function withSortedKeys(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(withSortedKeys);
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
    return Object.fromEntries(entries.map(([key, each]) => [key, withSortedKeys(each)]));
  }
  return value;
}

/** The text of each dashboard's file, by the file's name. */
export function generated(): Record<string, string> {
  return Object.fromEntries(
    Object.entries({ pipeline, lake }).map(([name, build]) => [
      `${name}.json`,
      `${JSON.stringify(withSortedKeys(build()), null, 2)}\n`,
    ]),
  );
}

function main(check: boolean): void {
  for (const [name, text] of Object.entries(generated())) {
    const path = fileURLToPath(new URL(`../dashboards/${name}`, import.meta.url));
    if (!check) {
      writeFileSync(path, text);
    } else if (!existsSync(path) || readFileSync(path, "utf8") !== text) {
      console.error(`grafana/dashboards/${name} is not what grafana/src generates: make dashboards`);
      process.exitCode = 1;
    }
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv.includes("--check"));
}
