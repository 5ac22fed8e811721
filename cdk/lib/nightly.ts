/** The nightly run: the Spark application, the jobs with their role, the state machine, and the schedule that starts it. */
import { fileURLToPath } from "node:url";

import { Aws, RemovalPolicy, Stack } from "aws-cdk-lib";
import { CfnApplication } from "aws-cdk-lib/aws-emrserverless";
import { PolicyDocument, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import { Asset } from "aws-cdk-lib/aws-s3-assets";
import { CfnSchedule } from "aws-cdk-lib/aws-scheduler";
import { CfnStateMachine } from "aws-cdk-lib/aws-stepfunctions";
import { Construct } from "constructs";

import { jobPermissions } from "./job-permissions.ts";
import { jobRoleName, nightlyName, tableDatabaseName } from "./names.ts";
import { JOBS, nightlyDefinition, type Job } from "./nightly-machine.ts";
import { allow } from "./policy.ts";
import type { Settings } from "./settings.ts";

export interface NightlyProps {
  readonly settings: Settings;
  readonly lake: IBucket;
  readonly artifacts: IBucket;
  readonly key: IKey | undefined;
  /** The dimension under which the jobs publish their metrics. */
  readonly stream: string;
}

interface Code {
  readonly package: Asset;
  readonly entryPoints: Readonly<Record<Job, Asset>>;
}

export class Nightly extends Construct {
  readonly application: CfnApplication;
  readonly jobRole: Role;
  readonly machine: CfnStateMachine;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: NightlyProps,
  ) {
    super(scope, id);
    const { settings } = props;
    const logGroup = new LogGroup(this, "Log", {
      logGroupName: `/aws/emr-serverless/${settings.name}`,
      retention: settings.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // With the stack, so that the first night finds them, and the night after a deployment finds those of its own.
    const entryPoints = Object.fromEntries(JOBS.map((job) => [job, this.entryPoint(job)])) as Record<Job, Asset>;
    const code = { package: this.packageAsset(), entryPoints };
    this.application = this.makeApplication(logGroup.logGroupName);
    this.jobRole = new Role(this, "JobRole", {
      // The lake's policy knows it by its name.
      roleName: jobRoleName(settings),
      assumedBy: new ServicePrincipal("emr-serverless.amazonaws.com", {
        // Whoever may pass the role may use it for this application only.
        conditions: { ArnEquals: { "aws:SourceArn": this.application.attrArn } },
      }),
      description: "Tributary: the Spark jobs",
      inlinePolicies: {
        job: new PolicyDocument({
          statements: jobPermissions(props, logGroup, [code.package, ...Object.values(entryPoints)]),
        }),
      },
    });
    this.machine = this.makeMachine(code);
    this.schedule();
  }

  /** `emr/tributary_emr` as the ZIP file that Python imports from. */
  private packageAsset(): Asset {
    return new Asset(this, "Package", {
      path: fileURLToPath(new URL("../../emr", import.meta.url)),
      exclude: ["*", ".*", "!tributary_emr", "tributary_emr/*", "!tributary_emr/*.py", "!tributary_emr/*.properties"],
    });
  }

  private entryPoint(job: Job): Asset {
    return new Asset(this, `Job-${job}`, {
      path: fileURLToPath(new URL(`../../emr/tributary_emr/${job}.py`, import.meta.url)),
    });
  }

  private makeApplication(logGroupName: string): CfnApplication {
    const { settings } = this.props;
    return new CfnApplication(this, "Application", {
      name: `${settings.name}-report`,
      type: "SPARK",
      releaseLabel: settings.reportRelease,
      architecture: settings.architecture === "arm64" ? "ARM64" : "X86_64",
      autoStartConfiguration: { enabled: true },
      autoStopConfiguration: { enabled: true, idleTimeoutMinutes: settings.reportIdleMinutes },
      maximumCapacity: {
        cpu: `${String(settings.reportMaximumVcpu)} vCPU`,
        memory: `${String(settings.reportMaximumMemoryGb)} GB`,
        disk: `${String(settings.reportMaximumDiskGb)} GB`,
      },
      monitoringConfiguration: {
        cloudWatchLoggingConfiguration: { enabled: true, logGroupName, logStreamNamePrefix: "report" },
        managedPersistenceMonitoringConfiguration: { enabled: true },
      },
    });
  }

  private makeMachine(code: Code): CfnStateMachine {
    const { settings, lake, stream } = this.props;
    const definition = nightlyDefinition({
      settings,
      partition: Aws.PARTITION,
      lake: lake.bucketName,
      database: tableDatabaseName(settings),
      stream,
      applicationId: this.application.attrApplicationId,
      jobRoleArn: this.jobRole.roleArn,
      packageUri: code.package.s3ObjectUrl,
      entryPoints: Object.fromEntries(
        Object.entries(code.entryPoints).map(([job, asset]) => [job, asset.s3ObjectUrl]),
      ) as Record<Job, string>,
    });
    return new CfnStateMachine(this, "Machine", {
      stateMachineName: nightlyName(settings),
      roleArn: this.machineRole().roleArn,
      definitionString: Stack.of(this).toJsonString(definition),
    });
  }

  /** As the guide has it for `startJobRun.sync`: https://docs.aws.amazon.com/step-functions/latest/dg/emr-serverless-iam.html. */
  private machineRole(): Role {
    const runs = `${this.application.attrArn}/jobruns/*`;
    const rule = Stack.of(this).formatArn({
      service: "events",
      resource: "rule",
      resourceName: "StepFunctionsGetEventsForEMRServerlessJobRule",
    });
    return new Role(this, "MachineRole", {
      assumedBy: new ServicePrincipal("states.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
      description: "Tributary: the nightly run",
      inlinePolicies: {
        run: new PolicyDocument({
          statements: [
            allow("Submit", ["emr-serverless:StartJobRun"], [this.application.attrArn]),
            allow("Tag", ["emr-serverless:TagResource"], [this.application.attrArn, runs]),
            allow("Follow", ["emr-serverless:GetJobRun", "emr-serverless:CancelJobRun"], [runs]),
            allow("PassJobRole", ["iam:PassRole"], [this.jobRole.roleArn], {
              StringEquals: { "iam:PassedToService": "emr-serverless.amazonaws.com" },
            }),
            // The rule by which Step Functions hears of a run's end.
            allow("HearOfTheEnd", ["events:PutTargets", "events:PutRule", "events:DescribeRule"], [rule]),
          ],
        }),
      },
    });
  }

  private schedule(): void {
    const { settings } = this.props;
    const role = new Role(this, "ScheduleRole", {
      assumedBy: new ServicePrincipal("scheduler.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
      description: "Tributary: starts the nightly run",
      inlinePolicies: {
        start: new PolicyDocument({ statements: [allow("Start", ["states:StartExecution"], [this.machine.ref])] }),
      },
    });
    new CfnSchedule(this, "Schedule", {
      name: nightlyName(settings),
      description: "The nightly run of Tributary",
      scheduleExpression: settings.reportSchedule,
      scheduleExpressionTimezone: settings.reportTimezone,
      flexibleTimeWindow: { mode: "FLEXIBLE", maximumWindowInMinutes: 15 },
      state: settings.reportEnabled ? "ENABLED" : "DISABLED",
      target: {
        arn: this.machine.ref,
        roleArn: role.roleArn,
        input: "{}",
        retryPolicy: { maximumRetryAttempts: 5, maximumEventAgeInSeconds: 3600 },
      },
    });
  }
}
