/** The function that sends through the ingest functions again what did not land: cdk/redrive.sh invokes it. */
import { fileURLToPath } from "node:url";

import { Duration, RemovalPolicy } from "aws-cdk-lib";
import { PolicyDocument, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Architecture, Code, Function, Runtime, type Alias } from "aws-cdk-lib/aws-lambda";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";

import { functionName, PREFIX } from "./names.ts";
import { allow } from "./policy.ts";
import type { Settings } from "./settings.ts";
import type { Stored } from "./stored.ts";

/** Where what did not land lies, and which alias reads it. */
export interface RedriveProps {
  readonly settings: Settings;
  readonly stored: Stored;
  readonly kinesis: Alias | undefined;
  readonly kafka: Alias | undefined;
}

export class Redrive extends Construct {
  readonly function: Function;

  constructor(scope: Construct, id: string, { settings, stored, kinesis, kafka }: RedriveProps) {
    super(scope, id);
    const { lake, onFailure, key } = stored;
    const named = functionName(settings, "redrive");
    const logGroup = new LogGroup(this, "Log", {
      logGroupName: `/aws/lambda/${named}`,
      retention: settings.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const aliases = { ...(kinesis ? { kinesis } : {}), ...(kafka ? { kafka } : {}) };
    const statements = [
      allow("ListGivenUp", ["s3:ListBucket"], [onFailure.bucketArn]),
      allow("TakeGivenUp", ["s3:GetObject", "s3:DeleteObject"], [onFailure.arnForObjects("aws/lambda/*")]),
      allow("ListQuarantine", ["s3:ListBucket"], [lake.bucketArn], {
        StringLike: { "s3:prefix": [`${PREFIX.quarantine}*`] },
      }),
      allow("ReadQuarantine", ["s3:GetObject"], [lake.arnForObjects(`${PREFIX.quarantine}*`)]),
      allow(
        "Deliver",
        ["lambda:InvokeFunction"],
        Object.values(aliases).map((alias) => alias.functionArn),
      ),
      ...(key ? [allow("UseKey", ["kms:Decrypt"], [key.keyArn])] : []),
      allow("WriteLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [logGroup.logGroupArn]),
    ];
    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
      description: `Tributary: execution of ${named}`,
      inlinePolicies: { redrive: new PolicyDocument({ statements }) },
    });
    const functions = Object.entries(aliases).map(([source, alias]) => [source, alias.functionArn]);
    this.function = new Function(this, "Function", {
      functionName: named,
      description: "Tributary: redrive of what did not land",
      runtime: Runtime.PYTHON_3_13,
      architecture: Architecture.ARM_64,
      handler: "redrive.handler",
      code: Code.fromAsset(fileURLToPath(new URL("../redrive", import.meta.url)), { exclude: ["*", "!redrive.py"] }),
      // It holds a batch of 6 MB a few times over; the rest is for the processor.
      memorySize: 1024,
      timeout: Duration.minutes(15),
      environment: {
        ON_FAILURE: onFailure.bucketName,
        LAKE: lake.bucketName,
        FUNCTIONS: JSON.stringify(Object.fromEntries(functions)),
      },
      role: role.withoutPolicyUpdates(),
      logGroup,
    });
  }
}
