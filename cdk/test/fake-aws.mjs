#!/usr/bin/env node
/** The AWS CLI as far as cdk/functions.sh uses it, over one JSON file. Text output, as asked for. */
import { readFileSync, writeFileSync } from "node:fs";
import { inflateRawSync } from "node:zlib";

const file = process.env.FAKE_AWS_STATE;
const state = JSON.parse(readFileSync(file, "utf8"));
const [service, command, ...rest] = process.argv.slice(2).filter((each) => each !== "--output" && each !== "text");
const option = (name) => (has(name) ? rest[rest.indexOf(`--${name}`) + 1] : undefined);
const has = (name) => rest.includes(`--${name}`);
const save = () => writeFileSync(file, JSON.stringify(state, null, 1));
const end = (text, status = 0) => {
  (status ? process.stderr : process.stdout).write(`${text}\n`);
  process.exit(status);
};
const missing = () => end("An error occurred (ResourceNotFoundException)", 254);
const same = (one, other) => one?.code === other.code && one.config === other.config;

/** The mark in a program, whether it is packed (a ZIP file's first entry, deflated) or as this gave it out. */
function codeOf(bytes) {
  const packed = bytes.readUInt32LE(0) === 0x04034b50;
  const data = 30 + (packed ? bytes.readUInt16LE(26) + bytes.readUInt16LE(28) : 0);
  const program = packed ? inflateRawSync(bytes.subarray(data)) : bytes;
  return program.toString("latin1").replace(/^[^]*code:(\w+);[^]*$/, "$1");
}

state.calls.push([service, command, process.env.AWS_REGION, process.env.AWS_DEFAULT_REGION].join(" "));
save();
if (service === "configure") end(state.configuredRegion ?? "", state.configuredRegion ? 0 : 1);
if (service === "sts") end("123456789012");
if (service === "cloudwatch") end((state.alarms ?? []).join("\n"));
if (service === "cloudformation") end(state.outputs?.[/OutputKey=='(\w+)'/.exec(option("query"))?.[1]] ?? "");
if (service === "grafana")
  end({ "create-workspace-service-account": "7", "create-workspace-service-account-token": "secret" }[command] ?? "");
const made = state.functions[option("function-name")] ?? missing();
const alias = made.aliases[option("name")];
switch (command) {
  case "get-alias":
    end(alias ?? missing());
    break;
  case "update-alias":
  case "create-alias":
    if ((command === "create-alias") === Boolean(alias)) end("An error occurred (ResourceConflictException)", 254);
    made.aliases[option("name")] = option("function-version");
    made.weights = option("routing-config");
    break;
  case "publish-version": {
    const newest = Math.max(0, ...Object.keys(made.versions).map(Number));
    if (!same(made.versions[newest], made.latest)) made.versions[newest + 1] = { ...made.latest };
    save();
    end(same(made.versions[newest], made.latest) ? newest : newest + 1);
    break;
  }
  case "update-function-code":
    made.latest.code = codeOf(readFileSync(option("zip-file").slice("fileb://".length)));
    break;
  case "get-function": {
    const { code } = made.versions[option("qualifier")] ?? missing();
    writeFileSync(`${file}.zip`, `code:${code};`);
    end(`file://${file}.zip`);
    break;
  }
  case "get-function-configuration":
    if (!made.versions[option("qualifier")]) missing();
    break;
  case "invoke":
    end(made.versions[option("qualifier")].code.startsWith("crashing") ? "Unhandled" : "None");
    break;
  case "wait":
    break;
  default:
    end(`fake-aws: ${service} ${command}`, 2);
}
if (has("query")) end("None");
save();
