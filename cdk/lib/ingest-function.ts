/** One function of the pipeline: log group, role, code, and the alias that is invoked. */
import { Duration, RemovalPolicy, Size } from "aws-cdk-lib";
import { PolicyDocument, Role, ServicePrincipal, type PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Alias, Architecture, Code, Function, Runtime, Tracing, type IEventSourceDlq } from "aws-cdk-lib/aws-lambda";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import { AssetHashType } from "aws-cdk-lib/core";
import { Construct } from "constructs";

import { checkedArtifact } from "./artifact.ts";
import { commonPermissions, type Sinks } from "./ingest-permissions.ts";
import { functionName, LIVE } from "./names.ts";
import type { Agreement } from "./partial-responses.ts";
import type { Settings } from "./settings.ts";

/** What one function is made of. */
export interface IngestFunctionProps {
  readonly settings: Settings;
  readonly sinks: Sinks;
  /** Name of the binary, which the function is named after. */
  readonly binary: string;
  /** What it needs besides what all functions need. */
  readonly permissions: PolicyStatement[];
  /** How it answers when records failed, which its mapping must read. */
  readonly answers: Agreement;
}

/**
 * A function on `provided.al2023`.
 *
 * CloudFormation sees the code once, when the function is created (its asset is named after the architecture, not after
 * its content); from then on `make deploy-functions` moves the code. So each tool has one task, a change of
 * configuration cannot bring old code back, and a rollback of the code needs no CloudFormation.
 */
export class IngestFunction extends Construct {
  readonly function: Function;
  readonly live: Alias;

  constructor(scope: Construct, id: string, { settings, sinks, binary, permissions, answers }: IngestFunctionProps) {
    super(scope, id);
    const named = functionName(settings, binary);
    const logGroup = new LogGroup(this, "Log", {
      logGroupName: `/aws/lambda/${named}`,
      retention: settings.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
      description: `Tributary: execution of ${named}`,
      inlinePolicies: {
        ingest: new PolicyDocument({
          statements: [...permissions, ...commonPermissions(sinks, logGroup, settings.tracing)],
        }),
      },
    });
    const { reservedConcurrency } = settings;
    this.function = new Function(this, "Function", {
      functionName: named,
      description: `Tributary: ${binary}`,
      runtime: Runtime.PROVIDED_AL2023,
      architecture: settings.architecture === "arm64" ? Architecture.ARM_64 : Architecture.X86_64,
      handler: "bootstrap",
      code: Code.fromAsset(checkedArtifact(settings, binary), {
        // cargo-lambda leaves an archive beside the program.
        exclude: ["*", "!bootstrap"],
        assetHashType: AssetHashType.CUSTOM,
        assetHash: `${binary}-${settings.architecture}`,
      }),
      memorySize: settings.memoryMb,
      timeout: Duration.seconds(settings.timeoutSeconds),
      ephemeralStorageSize: Size.mebibytes(512),
      environment: {
        TRIBUTARY_BUCKET: sinks.lake.bucketName,
        TRIBUTARY_HORIZON_MINUTES: String(settings.horizonMinutes),
        TRIBUTARY_KEEP_TEST_EVENTS: String(settings.keepTestEvents),
        TRIBUTARY_METRICS: String(settings.metrics),
        ...answers.environment,
        RUST_LOG: settings.logLevel,
      },
      // All permissions stand in one place; nothing may add to them.
      role: role.withoutPolicyUpdates(),
      logGroup,
      tracing: settings.tracing ? Tracing.ACTIVE : Tracing.DISABLED,
      ...(reservedConcurrency > 0 ? { reservedConcurrentExecutions: reservedConcurrency } : {}),
      // Versions stay, so that there is something to roll back to.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN, description: "configuration by CloudFormation" },
    });
    this.live = new Alias(this, "Live", { aliasName: LIVE, version: this.function.currentVersion });
  }
}

/** The bucket as on-failure destination, without the broad grants that the library's own class would add. */
export const givenUpTo = (bucket: IBucket): IEventSourceDlq => ({ bind: () => ({ destination: bucket.bucketArn }) });
