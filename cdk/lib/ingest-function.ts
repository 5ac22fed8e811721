/** One function of the pipeline: log group, role, code, and the alias that is invoked. */
import { Duration, RemovalPolicy, Size } from "aws-cdk-lib";
import { PolicyDocument, Role, ServicePrincipal, type PolicyStatement } from "aws-cdk-lib/aws-iam";
import {
  Alias,
  Architecture,
  Code,
  Function,
  Runtime,
  Tracing,
  Version,
  type IEventSourceDlq,
} from "aws-cdk-lib/aws-lambda";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import { Construct } from "constructs";

import { checkedArtifact } from "./artifact.ts";
import { commonPermissions, type Sinks } from "./ingest-permissions.ts";
import { functionName, LIVE } from "./names.ts";
import type { Settings } from "./settings.ts";

/** What one function is made of. */
export interface IngestFunctionProps {
  readonly settings: Settings;
  readonly sinks: Sinks;
  /** Name of the binary, which the function is named after. */
  readonly binary: string;
  /** What it needs besides what all functions need. */
  readonly permissions: PolicyStatement[];
  /** Variables that depend on the source. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * A function on `provided.al2023`.
 *
 * CloudFormation brings code and configuration into `$LATEST` and makes the alias `live`, once, at the first version.
 * Neither alias nor version depends on anything that changes, so no update and no rollback of a stack ever moves `live`:
 * cdk/functions.sh does, to a version that has passed its smoke test.
 */
export class IngestFunction extends Construct {
  readonly function: Function;
  readonly live: Alias;

  constructor(
    scope: Construct,
    id: string,
    { settings, sinks, binary, permissions, environment }: IngestFunctionProps,
  ) {
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
      // cargo-lambda leaves an archive beside the program.
      code: Code.fromAsset(checkedArtifact(settings, binary), { exclude: ["*", "!bootstrap", "!contract.toml"] }),
      memorySize: settings.memoryMb,
      timeout: Duration.seconds(settings.timeoutSeconds),
      ephemeralStorageSize: Size.mebibytes(512),
      environment: {
        TRIBUTARY_BUCKET: sinks.lake.bucketName,
        TRIBUTARY_HORIZON_MINUTES: String(settings.horizonMinutes),
        TRIBUTARY_LATENESS_MINUTES: String(settings.latenessMinutes),
        TRIBUTARY_KEEP_TEST_EVENTS: String(settings.keepTestEvents),
        TRIBUTARY_METRICS: String(settings.metrics),
        RUST_LOG: settings.logLevel,
        ...environment,
      },
      // All permissions stand in one place; nothing may add to them.
      role: role.withoutPolicyUpdates(),
      logGroup,
      tracing: settings.tracing ? Tracing.ACTIVE : Tracing.DISABLED,
      ...(reservedConcurrency > 0 ? { reservedConcurrentExecutions: reservedConcurrency } : {}),
    });
    const first = new Version(this, "First", {
      lambda: this.function,
      description: "what the function was made with",
      // Versions stay, so that there is something to go back to.
      removalPolicy: RemovalPolicy.RETAIN,
    });
    this.live = new Alias(this, "Live", { aliasName: LIVE, version: first });
  }
}

/** The bucket as on-failure destination, without the broad grants that the library's own class would add. */
export const givenUpTo = (bucket: IBucket): IEventSourceDlq => ({ bind: () => ({ destination: bucket.bucketArn }) });
