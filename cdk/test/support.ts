/** Stacks made for tests, and their templates in a form that can be read. */
import { copyFileSync, mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { App, Stack } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";

import { CONTRACT } from "../lib/artifact.ts";
import { readSettings, type Settings } from "../lib/settings.ts";
import { makeStacks, type Stacks } from "../lib/stacks.ts";

/** The header of a 64-bit ELF program without sections: linked statically, and of the given machine. */
export function elfHeader(machine: number): Buffer {
  const header = Buffer.alloc(64);
  header.writeUInt32BE(0x7f454c46, 0);
  header[4] = 2;
  header.writeUInt16LE(machine, 18);
  return header;
}

function placeholderArtifacts(): string {
  const folder = mkdtempSync(join(tmpdir(), "tributary-cdk-"));
  for (const binary of ["ingest-kinesis", "ingest-redpanda"]) {
    mkdirSync(join(folder, binary));
    writeFileSync(join(folder, binary, "bootstrap"), elfHeader(0xb7));
    copyFileSync(CONTRACT, join(folder, binary, "contract.toml"));
    writeFileSync(join(folder, binary, "bootstrap.zip"), "left behind");
  }
  return folder;
}

const artifacts = placeholderArtifacts();

export const KAFKA = {
  bootstrapServers: ["broker-1.example.com:9092", "broker-2.example.com:9092"],
  subnetIds: ["subnet-1", "subnet-2"],
  securityGroupIds: ["sg-1"],
  topic: "tributary-events",
  consumerGroup: "tributary",
  secretArn: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:redpanda",
  authentication: "SASL_SCRAM_512",
};

const MSK_TOPIC = {
  clusterArn: "arn:aws:kafka:eu-west-1:123456789012:cluster/events/1",
  topic: "tributary-events",
  consumerGroup: "tributary",
};

export const MSK = {
  ...MSK_TOPIC,
  secretArn: "arn:aws:secretsmanager:eu-west-1:123456789012:secret:AmazonMSK_events",
  secretKeyArn: "arn:aws:kms:eu-west-1:123456789012:key/2",
  authentication: "SASL_SCRAM_512",
};

export const MSK_IAM = { ...MSK_TOPIC, authentication: "IAM" };

/** All that can be switched on. */
export const EVERYTHING = {
  kmsKey: "create",
  kafka: KAFKA,
  alarmEmail: "on-call@example.com",
  managedGrafana: true,
  githubRepository: "owner/name",
};

export interface Made extends Stacks {
  readonly app: App;
  readonly settings: Settings;
}

/** The stacks with these settings, over placeholders for the built functions. */
export function make(given: Record<string, unknown> = {}): Made {
  const app = new App();
  const settings = readSettings({ artifacts, githubRepository: "owner/name", ...given });
  return { app, settings, ...makeStacks(app, settings) };
}

/** The stacks of an app. */
export const stacksOf = ({ app }: Made): Stack[] => app.node.children.filter((child) => Stack.isStack(child));

export type Resource = Readonly<{ Type: string; Properties: Record<string, unknown>; DeletionPolicy?: string }>;

export function resources(stack: Stack): Record<string, Resource> {
  return (Template.fromStack(stack).toJSON() as { Resources: Record<string, Resource> }).Resources;
}

/** The properties of the only resource of a type. */
export function only(stack: Stack, type: string): Record<string, unknown> {
  const found = Object.values(resources(stack)).filter((resource) => resource.Type === type);
  if (found.length !== 1 || !found[0]) throw new Error(`${String(found.length)} resources of type ${type}`);
  return found[0].Properties;
}

/** A value of a template as text: `arn:<Partition>:s3:::<Lake.Arn>/events/*`. */
export function text(value: unknown): string {
  if (Array.isArray(value)) return value.map(text).join(" ");
  if (typeof value !== "object" || value === null) return String(value);
  const [[name, argument] = ["", undefined]] = Object.entries(value);
  switch (name) {
    case "Ref":
      return `<${String(argument).replace(/^AWS::/, "")}>`;
    case "Fn::GetAtt":
      return `<${(argument as string[]).join(".")}>`;
    case "Fn::Join":
      return (argument as [string, unknown[]])[1].map(text).join("");
    case "Fn::Select":
      return `<part of ${text((argument as unknown[])[1])}>`;
    case "Fn::Split":
      return text((argument as unknown[])[1]);
    case "Fn::Sub":
      return String(argument).replaceAll(/\$\{AWS::(\w+)\}/g, "<$1>");
    case "Fn::ImportValue":
      return `<import ${text(argument)}>`;
    default:
      return JSON.stringify(value);
  }
}
