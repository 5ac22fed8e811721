/** Templates as IAM would see them, and IAM's answer to a request. */
import { runSimulation } from "@cloud-copilot/iam-simulate";
import { Template } from "aws-cdk-lib/assertions";

import { stacksOf, type Made, type Resource } from "./support.ts";

export const ACCOUNT = "000000000000";
export const REGION = "us-east-1";
const KEY_ARN = `arn:aws:kms:${REGION}:${ACCOUNT}:key/0`;

/** One question that IAM is asked. */
export interface Request {
  readonly action: string;
  readonly resource: string;
  readonly context?: Readonly<Record<string, string>>;
}

export interface Statement {
  readonly Sid: string;
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource: string | readonly string[];
}

export interface Policy {
  readonly Version: string;
  readonly Statement: readonly Statement[];
}

/** What a deployment's policies are, with names and ARNs in place of references. */
export interface Policies {
  /** By stack and the start of the role's logical id: `ingest/KinesisIngestRole`. */
  readonly roles: ReadonlyMap<string, Policy>;
  /** By ARN of the bucket or the key. */
  readonly resources: ReadonlyMap<string, Policy>;
  readonly encrypted: boolean;
}

export function policiesOf(made: Made): Policies {
  const roles = new Map<string, Policy>();
  const guarded = new Map<string, Policy>();
  for (const stack of stacksOf(made)) {
    const { Resources } = Template.fromStack(stack).toJSON() as { Resources: Record<string, Resource> };
    const filled = (value: unknown): unknown => resolved(value, Resources);
    for (const [id, { Type, Properties }] of Object.entries(Resources)) {
      if (Type === "AWS::IAM::Role") {
        const inline = filled(Properties.Policies ?? []) as { PolicyDocument: Policy }[];
        const statements = inline.flatMap(({ PolicyDocument }) => PolicyDocument.Statement);
        const name = `${stack.stackName.replace(`${made.settings.name}-`, "")}/${id.replace(/[0-9A-F]{8}$/, "")}`;
        roles.set(name, { Version: "2012-10-17", Statement: statements });
      }
      if (Type === "AWS::S3::BucketPolicy") {
        guarded.set(`arn:aws:s3:::${String(filled(Properties.Bucket))}`, filled(Properties.PolicyDocument) as Policy);
      }
      if (Type === "AWS::KMS::Key" && stack === made.storage) {
        guarded.set(KEY_ARN, filled(Properties.KeyPolicy) as Policy);
      }
    }
  }
  return { roles, resources: guarded, encrypted: made.settings.kmsKey !== "none" };
}

const PSEUDO: Readonly<Record<string, string>> = {
  "AWS::AccountId": ACCOUNT,
  "AWS::Region": REGION,
  "AWS::Partition": "aws",
};

type Resources = Readonly<Record<string, Resource>>;

function resolved(value: unknown, resources: Resources): unknown {
  const inner = (each: unknown): unknown => resolved(each, resources);
  if (Array.isArray(value)) return value.map(inner);
  if (typeof value !== "object" || value === null) return value;
  const [[name, argument] = ["", undefined]] = Object.entries(value);
  switch (name) {
    case "Ref":
      return PSEUDO[String(argument)] ?? reference(String(argument), resources, false);
    case "Fn::GetAtt":
      return reference((argument as string[])[0] ?? "", resources, true);
    case "Fn::Join":
      return (argument as [string, unknown[]])[1].map(inner).join("");
    case "Fn::Sub":
      return String(argument).replaceAll(/\$\{(AWS::\w+)\}/g, (_, pseudo: string) => PSEUDO[pseudo] ?? "");
    case "Fn::ImportValue":
      return KEY_ARN;
    default:
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, inner(each)]));
  }
}

/** The name or the ARN of a resource of the same template. */
function reference(id: string, resources: Resources, asArn: boolean): string {
  const resource = resources[id];
  if (!resource) throw new Error(`the template has no ${id}`);
  const property = (name: string): string => String(resolved(resource.Properties[name], resources));
  const arn = (service: string, rest: string): string => `arn:aws:${service}:${REGION}:${ACCOUNT}:${rest}`;
  switch (resource.Type) {
    case "AWS::S3::Bucket":
      return asArn ? `arn:aws:s3:::${property("BucketName")}` : property("BucketName");
    case "AWS::Kinesis::Stream":
      return asArn ? arn("kinesis", `stream/${property("Name")}`) : property("Name");
    case "AWS::Lambda::Function":
      return asArn ? arn("lambda", `function:${property("FunctionName")}`) : property("FunctionName");
    case "AWS::Logs::LogGroup":
      return asArn ? arn("logs", `log-group:${property("LogGroupName")}:*`) : property("LogGroupName");
    case "AWS::EMRServerless::Application":
      return asArn ? arn("emr-serverless", "/applications/0") : "0";
    case "AWS::StepFunctions::StateMachine":
      return arn("states", `stateMachine:${property("StateMachineName")}`);
    case "AWS::IAM::Role":
      return asArn ? `arn:aws:iam::${ACCOUNT}:role/${id}` : id;
    case "AWS::KMS::Key":
      return KEY_ARN;
    default:
      return asArn ? `arn:aws:unknown:::${id}` : id;
  }
}

/** What every request carries that the account's own clients send. */
const TRANSPORT = { "aws:SecureTransport": "true", "s3:TlsVersion": "1.3" };

/** Whether an identity with `policy` may do what is asked, as far as the resource's own policy lets it. */
export async function isAllowed(request: Request, policy: Policy, resourcePolicy?: Policy): Promise<boolean> {
  const result = await runSimulation(
    {
      request: {
        principal: `arn:aws:sts::${ACCOUNT}:assumed-role/part/session`,
        action: request.action,
        resource: { resource: request.resource, accountId: ACCOUNT },
        contextVariables: { ...TRANSPORT, ...request.context },
      },
      identityPolicies: [{ name: "role", policy }],
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      ...(resourcePolicy ? { resourcePolicy } : {}),
    },
    {},
  );
  if (result.resultType === "error") throw new Error(`${request.action}: ${JSON.stringify(result.errors)}`);
  return result.overallResult === "Allowed";
}

/** The policy of the bucket or the key that a request is about. */
export function guardOf({ resource }: Request, { resources }: Policies): Policy | undefined {
  return [...resources].find(([arn]) => resource === arn || resource.startsWith(`${arn}/`))?.[1];
}

/** What else is asked of IAM for a request: of the key, where data is encrypted with one, and before S3 says 404. */
export function implied(request: Request, missing: boolean, encrypted: boolean): Request[] {
  const more: Request[] = [];
  // https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html, "Permissions": 403 without it. It is asked
  // without a prefix, since the request has none.
  if (missing) more.push({ action: "s3:ListBucket", resource: request.resource.split("/")[0] ?? "" });
  if (encrypted && /:(tributary-|stream\/)/.test(request.resource) && !missing) {
    // https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html, "Permissions"; Kinesis likewise:
    // https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html
    const onKey = (action: string): Request => ({ action, resource: KEY_ARN });
    if (/^s3:GetObject$|^kinesis:GetRecords$/.test(request.action)) more.push(onKey("kms:Decrypt"));
    if (request.action === "s3:PutObject") more.push(onKey("kms:GenerateDataKey"), onKey("kms:Decrypt"));
    if (request.action.startsWith("kinesis:PutRecord")) more.push(onKey("kms:GenerateDataKey"));
  }
  return more;
}
