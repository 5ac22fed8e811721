/** The daily report: a Spark application without servers, and the schedule that starts the job on it. */
import { Aws, RemovalPolicy, Stack } from "aws-cdk-lib";
import { CfnApplication } from "aws-cdk-lib/aws-emrserverless";
import { PolicyDocument, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { LogGroup } from "aws-cdk-lib/aws-logs";
import type { IBucket } from "aws-cdk-lib/aws-s3";
import { CfnSchedule } from "aws-cdk-lib/aws-scheduler";
import { Construct } from "constructs";

import { PREFIX } from "./names.ts";
import { allow } from "./policy.ts";
import type { Settings } from "./settings.ts";

export interface ReportProps {
  readonly settings: Settings;
  readonly lake: IBucket;
  readonly artifacts: IBucket;
  readonly key: IKey | undefined;
}

export class Report extends Construct {
  readonly application: CfnApplication;
  readonly jobRole: Role;

  constructor(
    scope: Construct,
    id: string,
    private readonly props: ReportProps,
  ) {
    super(scope, id);
    const { settings } = props;
    const logGroup = new LogGroup(this, "Log", {
      logGroupName: `/aws/emr-serverless/${settings.name}`,
      retention: settings.logDays,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.application = this.makeApplication(logGroup.logGroupName);
    this.jobRole = this.makeJobRole(logGroup);
    this.schedule();
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

  private makeJobRole(logGroup: LogGroup): Role {
    const { lake, artifacts, key } = this.props;
    const { events, rollups, reports, jobs } = PREFIX;
    // The S3 connector also asks for the prefix without its slash, to tell a folder from an object.
    const listed = (...prefixes: string[]) => ({
      StringLike: { "s3:prefix": prefixes.flatMap((prefix) => [prefix.slice(0, -1), `${prefix}*`]) },
    });
    const statements = [
      allow("ListLake", ["s3:ListBucket"], [lake.bucketArn], listed(events, rollups, reports)),
      allow(
        "ReadLake",
        ["s3:GetObject"],
        [events, rollups].map((prefix) => lake.arnForObjects(`${prefix}*`)),
      ),
      // Delete: the connector tidies away what stands for a folder.
      allow(
        "WriteReports",
        ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
        [lake.arnForObjects(`${reports}*`)],
      ),
      allow("ListJobs", ["s3:ListBucket"], [artifacts.bucketArn], listed(jobs)),
      allow("ReadJobs", ["s3:GetObject"], [artifacts.arnForObjects(`${jobs}*`)]),
      allow(
        "WriteLog",
        ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
        [logGroup.logGroupArn],
      ),
      // Describing needs every group of the region; it tells names, and no content.
      allow(
        "FindLog",
        ["logs:DescribeLogGroups"],
        [Stack.of(this).formatArn({ service: "logs", resource: "log-group:*" })],
      ),
      ...(key ? [allow("UseKey", ["kms:Decrypt", "kms:GenerateDataKey"], [key.keyArn])] : []),
    ];
    return new Role(this, "JobRole", {
      assumedBy: new ServicePrincipal("emr-serverless.amazonaws.com", {
        // Whoever may pass the role may use it for this application only.
        conditions: { ArnEquals: { "aws:SourceArn": this.application.attrArn } },
      }),
      description: "Tributary: the Spark jobs",
      inlinePolicies: { job: new PolicyDocument({ statements }) },
    });
  }

  /** What StartJobRun is sent. EventBridge Scheduler wants the API's names with a capital first letter. */
  private jobRun(): Record<string, unknown> {
    const { settings, lake, artifacts } = this.props;
    const jobs = `s3://${artifacts.bucketName}/${PREFIX.jobs}`;
    const at = `s3://${lake.bucketName}/`;
    return {
      ApplicationId: this.application.attrApplicationId,
      // One run per firing, however often the scheduler has to try.
      ClientToken: "<aws.scheduler.execution-id>",
      ExecutionRoleArn: this.jobRole.roleArn,
      Name: `${settings.name}-report`,
      ExecutionTimeoutMinutes: settings.reportTimeoutMinutes,
      JobDriver: {
        SparkSubmit: {
          EntryPoint: `${jobs}report.py`,
          EntryPointArguments: [
            "--input",
            `${at}${PREFIX.events}`,
            "--output",
            `${at}${PREFIX.reports}p95_event_duration.csv`,
          ],
          SparkSubmitParameters: `--py-files ${jobs}tributary_emr.zip ${settings.reportSparkSubmit}`.trim(),
        },
      },
      Tags: { project: settings.name },
    };
  }

  private schedule(): void {
    const { settings } = this.props;
    const role = new Role(this, "ScheduleRole", {
      assumedBy: new ServicePrincipal("scheduler.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Aws.ACCOUNT_ID } },
      }),
      description: "Tributary: starts the report",
      inlinePolicies: {
        start: new PolicyDocument({
          statements: [
            allow(
              "Start",
              ["emr-serverless:StartJobRun", "emr-serverless:TagResource"],
              [this.application.attrArn, `${this.application.attrArn}/jobruns/*`],
            ),
            allow("PassJobRole", ["iam:PassRole"], [this.jobRole.roleArn], {
              StringEquals: { "iam:PassedToService": "emr-serverless.amazonaws.com" },
            }),
          ],
        }),
      },
    });
    new CfnSchedule(this, "Schedule", {
      name: `${settings.name}-report`,
      description: "The daily report of Tributary",
      scheduleExpression: settings.reportSchedule,
      scheduleExpressionTimezone: settings.reportTimezone,
      flexibleTimeWindow: { mode: "FLEXIBLE", maximumWindowInMinutes: 15 },
      state: settings.reportEnabled ? "ENABLED" : "DISABLED",
      target: {
        arn: `arn:${Aws.PARTITION}:scheduler:::aws-sdk:emrserverless:startJobRun`,
        roleArn: role.roleArn,
        input: Stack.of(this).toJsonString(this.jobRun()),
        retryPolicy: { maximumRetryAttempts: 5, maximumEventAgeInSeconds: 3600 },
      },
    });
  }
}
